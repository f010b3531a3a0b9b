"""What is decided: pure functions. No kernel, no clock, no files."""
