"""Handing over: headers and envelope from what a program says; sendmail's faces."""
