"""The door: takes a message from any local program, whose uid the kernel tells, and puts it into the queue.

admission   who may come in, and how much memory he may hold
committing  small messages, which go to the disk together
telling     who asks for a list of his messages, or that they be tried now
story       what is told of each message, if that is wanted
inside      what all who are inside share: loop, threads, control files, numbers, log
session     one caller's conversation
taking      what was left in drop/ while the door was closed
server      listening, chores, the end, handing over to a new version

On a host without a queue (control/direct):
caller      one caller's conversation
relaying    listening, chores, children, the end
"""
