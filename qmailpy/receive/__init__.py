"""Coming in: SMTP and its relatives (the sessions come with a later version)."""
