"""qmail-listen: our own TCP server.

options     its command line, which is tcpserver's
connection  what is known of a connection before anybody speaks: environment, rules, log lines
executing   any program: a process for each connection, as tcpserver
master      our own protocol programs: sockets and keys, never a client's byte; workers that come and go
worker      thousands of sessions in one process: accepting, driving, ending
resident    a session's Dialog there
handing     its messages on their way to the door
"""
