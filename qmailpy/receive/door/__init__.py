"""The door: takes a message from any local program, whose uid the kernel tells, and puts it into the queue.

server     listening, chores, the end, handing over to a new version
session    one caller's conversation
admission  who may come in, and how much memory he may hold
telling    who asks for a list of his messages, or that they be tried now
taking     what was left in drop/ while the door was closed

On a host without a queue (control/direct):
relaying   listening, chores, children, the end
caller     one caller's conversation
"""
