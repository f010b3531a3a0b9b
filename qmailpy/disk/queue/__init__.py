"""The queue: layout, names, formats and order of steps exactly as spec/02, plus the directory fsyncs of its section 8.

One narrow interface; no path of queue/ is spelled anywhere else:
  entering   begin, append, commit                 the door, and root's own qmail-queue
  sending    claim, read, mark, defer, finish      qmail-send
  cleaning   remove, collect                       qmail-clean
  listing    list                                  qmail-send at its start, qmail-qread, qmail-qstat

States of message N (which files exist):
  S1 none   S2 mess   S3 mess intd   S4 mess todo: accepted   S5 mess info [local] [remote] [bounce]
"""
