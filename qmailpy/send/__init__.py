"""The heart: qmail-send's organs. Decides what is tried when; never delivers anything itself."""
