"""What qmail-showctl says of each control file (spec/08 6 for those of qmail's)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    Row = tuple[bytes, bytes, bytes, bytes, bool]

OR_ME = True

_RECIPIENTS = b"SMTP clients may send messages to recipients at "
MORE = b"morercpthosts"

# name, default (of a list: the whole sentence), what stands before and after a value, whether control/me goes before
# the default
CONTROLS: "tuple[Row, ...]" = (
    (b"badmailfrom", b"Any MAIL FROM is allowed.", b"", b" not accepted in MAIL FROM.", False),
    (b"bouncefrom", b"MAILER-DAEMON", b"Bounce user name is ", b"", False),
    (b"bouncehost", b"bouncehost", b"Bounce host name is ", b"", OR_ME),
    (b"concurrencylocal", b"10", b"Local concurrency is ", b"", False),
    (b"concurrencyremote", b"20", b"Remote concurrency is ", b"", False),
    (b"databytes", b"0", b"SMTP DATA limit is ", b" bytes", False),
    (b"defaultdomain", b"defaultdomain", b"Default domain name is ", b"", OR_ME),
    (b"defaulthost", b"defaulthost", b"Default host name is ", b"", OR_ME),
    (b"doublebouncehost", b"doublebouncehost", b"2B recipient host: ", b"", OR_ME),
    (b"doublebounceto", b"postmaster", b"2B recipient user: ", b"", False),
    (b"envnoathost", b"envnoathost", b"Presumed domain name is ", b"", OR_ME),
    (b"helohost", b"helohost", b"SMTP client HELO host name is ", b"", OR_ME),
    (b"idhost", b"idhost", b"Message-ID host name is ", b"", OR_ME),
    (b"localiphost", b"localiphost", b"Local IP address becomes ", b"", OR_ME),
    (b"locals", b"Messages for me are delivered locally.", b"Messages for ", b" are delivered locally.", False),
    (b"me", b"undefined! Uh-oh", b"My name is ", b"", False),
    (
        b"percenthack",
        b"The percent hack is not allowed.",
        b"The percent hack is allowed for user%host@",
        b".",
        False,
    ),
    (b"plusdomain", b"plusdomain", b"Plus domain name is ", b"", OR_ME),
    (b"qmqpservers", b"No QMQP servers.", b"QMQP server: ", b".", False),
    (b"queuelifetime", b"604800", b"Message lifetime in the queue is ", b" seconds", False),
    (b"rcpthosts", b"SMTP clients may send messages to any recipient.", _RECIPIENTS, b".", False),
    (MORE, b"No effect.", _RECIPIENTS, b".", False),
    (b"smtpgreeting", b"smtpgreeting", b"SMTP greeting: 220 ", b"", OR_ME),
    (b"smtproutes", b"No artificial SMTP routes.", b"SMTP route: ", b"", False),
    (b"timeoutconnect", b"60", b"SMTP client connection timeout is ", b" seconds", False),
    (b"timeoutremote", b"1200", b"SMTP client data timeout is ", b" seconds", False),
    (b"timeoutsmtpd", b"1200", b"SMTP server data timeout is ", b" seconds", False),
    (b"virtualdomains", b"No virtual domains.", b"Virtual domain: ", b"", False),
)

MORE_ALONE = (
    MORE,
    b"No rcpthosts; morercpthosts is irrelevant.",
    b"No rcpthosts; doesn't matter that morercpthosts has ",
    b".",
    False,
)

# what may be in our control/ and not in C qmail's: the same, shown where there is such a file
OURS = (
    (b"aliasfile", b"", b"Aliases are in ", b".", False),
    (b"authplain", b"0", b"Passwords are taken in clear, without TLS (0: no): ", b"", False),
    (b"authprogram", b"qmail-checkpassword", b"Passwords are checked by ", b"", False),
    (b"badhelo", b"Any HELO name is allowed.", b"", b" not accepted in HELO.", False),
    (b"badrcptto", b"Any RCPT TO is allowed.", b"", b" not accepted in RCPT TO.", False),
    (b"bouncebudget", b"100", b"Bounces to one sender in an hour are at most ", b" (0 for any)", False),
    (b"bouncecontent", b"full", b"Bounces have of the message (full, headers): ", b"", False),
    (b"bounceformat", b"qsbmf", b"Bounces have the layout (qsbmf, dsn) ", b"", False),
    (b"callout", b"0", b"Recipients are asked of the next host (0: no): ", b"", False),
    (b"classicgreeting", b"0", b"An exchanger that turns us away is the last one that is asked (0: no): ", b"", False),
    (b"concurrencydomain", b"none", b"Remote concurrency of a domain: ", b"", False),
    (b"connectionsaddress", b"50", b"Connections of one address at once are ", b" (0 for any)", False),
    (b"connectionsnetwork", b"200", b"Connections of one network at once are ", b" (0 for any)", False),
    (b"delaywarning", b"14400", b"Who asked for it hears of a delay after ", b" seconds (0: never)", False),
    (b"dnsbl", b"No lists of addresses in the DNS.", b"Clients are looked up in ", b".", False),
    (b"generic", b"No public addresses.", b"Public address: ", b".", False),
    (b"holddomains", b"No domain is held.", b"Remote mail is held for ", b".", False),
    (b"listenworkers", b"0", b"Processes of qmail-listen are ", b" (0: as many as processors)", False),
    (b"localtime", b"0", b"Dates are in local time (0: in UTC): ", b"", False),
    (b"masquerade", b"No masquerading.", b"Masquerade as ", b".", False),
    (b"mailspool", b"none", b"Missing mailboxes are made in ", b"", False),
    (b"outgoingfamily", b"0", b"Hosts are called by IPv4 or IPv6 only (4, 6; 0: by both): ", b"", False),
    (b"outgoingip", b"Mail leaves from the address that the kernel chooses.", b"Mail leaves from ", b".", False),
    (b"queuebytes", b"1073741824", b"Largest message that is taken into the queue is ", b" bytes (0 for any)", False),
    (b"queuereserve", b"8388608", b"Mail is taken while the queue's disk has ", b" bytes free", False),
    (b"queuereservefiles", b"100", b"Mail is taken while the queue's disk has ", b" files free", False),
    (b"recipientcheck", b"550", b"Unknown recipients are answered with (0: taken) ", b"", False),
    (b"recipients", b"No lists of recipients.", b"Recipient: ", b".", False),
    (b"senderroutes", b"none", b"SMTP route of a sender: ", b"", False),
    (b"smtpchunking", b"1", b"SMTP clients may use BDAT (0: no): ", b"", False),
    (b"smtpdelay", b"0", b"SMTP clients wait for the greeting ", b" seconds", False),
    (b"smtpdsn", b"1", b"SMTP clients may ask for notices (0: no): ", b"", False),
    (b"smtperrors", b"100", b"SMTP clients may say nonsense ", b" times (0 for any)", False),
    (b"smtpplugins", b"No plugins.", b"Plugins: ", b".", False),
    (b"smtpproxies", b"None.", b"The PROXY protocol is spoken by ", b".", False),
    (b"smtprate", b"100", b"SMTP messages come with at least ", b" bytes a second (0 for any)", False),
    (b"smtprecipients", b"200000", b"SMTP messages have at most ", b" recipients", False),
    (b"smtpstatus", b"0", b"SMTP answers begin with a status code (0: no): ", b"", False),
    (b"smtputf8", b"1", b"SMTP clients may use UTF-8 in addresses (0: no): ", b"", False),
    (b"smtpxclients", b"None.", b"XCLIENT is taken from ", b".", False),
    (b"submissionsenders", b"Any login may use any sender.", b"Senders of a login: ", b".", False),
    (b"trace", b"0", b"The log tells more of each message, for qmail-trace (0: no): ", b"", False),
    (b"transcript", b"No dialogue.", b"SMTP dialogues are shown with ", b".", False),
    (b"userconcurrency", b"half of the local one", b"Concurrency of one user is ", b" (0 for any)", False),
    (b"usermemory", b"0", b"Memory of a user's program is ", b" bytes (0 for any)", False),
    (b"userprocesses", b"0", b"Processes of a user are ", b" (0 for any)", False),
    (b"userseconds", b"0", b"Time of a user's program is ", b" seconds (0 for any)", False),
)

# and what has no value
OTHERS = {
    b"direct": b"Mail leaves at once, by qmail-direct: there is no queue, and qmail-start does not start.",
    b"embedded": b"This home lives the embedded way: one uid has every role.",
    b"servercert.pem": b"The server's certificate, with its key if that has no file of its own; not shown.",
    b"servercerts": b"Certificates for names that clients ask for; not shown.",
    b"serverkey.pem": b"The key of servercert.pem; not shown.",
    b"smtpauth": b"Logins that SMTP routes name; not shown.",
    b"samples": b"Examples that explain each control file; nothing reads them.",
}
