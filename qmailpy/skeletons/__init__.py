"""What programs share: the loop is written once, each program plugs in two or three functions."""
