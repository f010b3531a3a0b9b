"""qmail-listen: our own TCP server. From the ground up:

options     its command line, which is tcpserver's
connection  what is known of a connection before anybody speaks: environment
lines       what it writes into the log
judging     the rules of -x
crowds, counting  how many may come, of an address and of a network
renewing    becoming a new version in place
executing   any program: a process for each connection, as tcpserver

Our own protocol programs, thousands of sessions in one process:
service, protocols, services  what is served, and how it begins
waiting     what those who follow need of a session, and of the worker
door_lines  a worker's lines to the door
handing     a session's message on its way to the door
asking      slow questions, answered by children
owner       whose connection the client's host says it is
resident    a session's Dialog
serving     what all sessions of a worker share
arriving    from accept to the first word
worker      its life: accepting, and the end
master      sockets and keys, never a client's byte; workers that come and go
"""
