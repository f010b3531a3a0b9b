"""Coming in: the door, the listener, and what is spoken with other hosts and with users who log in."""
