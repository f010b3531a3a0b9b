"""Mail that comes by SMTP: one session, whoever serves it. From the ground up:

ending        the end of a session from within a command
controls      what the control files say
services      what the port offers
body          a message on its way into the queue
transaction   what is kept of MAIL and RCPT
session       what is known of a client, and what its commands share
envelope      MAIL, RCPT
message       DATA, BDAT
securing      STARTTLS, AUTH
fronting      PROXY, XCLIENT, clients that speak too early
submission    who may send as whom, and what is completed
commands      the table of all commands
conversation  the course of a session
"""
