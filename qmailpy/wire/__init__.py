"""What is spoken: codecs and state machines without I/O, both ends of a protocol in one file."""
