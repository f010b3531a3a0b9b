"""POP3: users fetch their mail.

authorization  before the login, as root: takes a name and a password, and nothing else (qmail-popup)
front          TLS for that, in a process that is not root's
session        after it, as the user (qmail-pop3d)
maildrop       his messages
"""
