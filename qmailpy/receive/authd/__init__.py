"""qmail-authd: answers, for sessions that may read no password, whether a client has proven who it is.

It reads questions and runs a program for each; it knows no password, and looks at nothing else. daemon.py listens and
lives; conversation.py is one session's question; checks.py runs the programs, some at a time.
"""
