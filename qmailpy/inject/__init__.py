"""Handing over: headers and envelope from what a program says; sendmail's faces."""

WISHES = b"QMAILDSN"  # the variable for what inject/wishes writes and reads
