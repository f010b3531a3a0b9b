"""Mail that comes by SMTP: one session, whoever serves it."""
