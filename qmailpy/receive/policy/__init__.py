"""Whom mail is taken from, and for whom: what a session asks before it says yes.

A session makes one Policy(dialog, controls), controls being what controls.read(home) gives, and awaits its methods as
the commands come; each gives None or a Refusal. QMTP asks it too, about senders and recipients.
"""
