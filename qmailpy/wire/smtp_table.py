"""The steps of wire/smtp, which replies lead from each to the next, and the same as text, for who reads."""

GREETING, EHLO, HELO, STARTTLS, TLS, AUTH = "greeting", "EHLO", "HELO", "STARTTLS", "TLS", "AUTH"
MAIL, RCPT, DATA, BODY, CHUNK, DOT, DONE = "MAIL", "RCPT", "DATA", "body", "BDAT", "dot", "done"
STEPS = (GREETING, EHLO, HELO, STARTTLS, TLS, AUTH, MAIL, RCPT, DATA, BODY, CHUNK, DOT, DONE)


class Step:
    """What is awaited.  good: codes that lead on; next: where to, if they do."""

    __slots__ = ("good", "next")

    def __init__(self, good: range, next_step: str) -> None:
        """Every other code ends the dialogue; at RCPT it only refuses one recipient."""
        self.good, self.next = good, next_step


# DATA: only a 3xx invites the message, everywhere else only a 2xx is a yes. qmail took 2xx and 3xx for
# the same; after a server that is one reply behind, that reads the message as commands or loses it.
TABLE = {
    GREETING: Step(range(220, 221), EHLO),
    EHLO: Step(range(250, 251), MAIL),  # or STARTTLS, or AUTH; HELO after a 5xx, where neither is wanted
    HELO: Step(range(250, 251), MAIL),
    STARTTLS: Step(range(220, 221), TLS),  # MAIL after anything else, where TLS is only welcome
    TLS: Step(range(0), EHLO),  # not by a reply, but by secured(); GREETING where TLS is there from the first byte
    AUTH: Step(range(235, 236), MAIL),  # 334 is a question
    MAIL: Step(range(200, 300), RCPT),
    RCPT: Step(range(200, 300), RCPT),  # DATA after the last one; BODY where the message goes in chunks
    DATA: Step(range(300, 400), BODY),
    BODY: Step(range(0), DOT),  # not by a reply, but by give(); CHUNK after a chunk that is to be answered first
    CHUNK: Step(range(200, 300), BODY),
    DOT: Step(range(200, 300), DONE),  # of chunks that went without waiting, those before the last answer first
}


def table() -> str:
    """A line for each step."""
    rows = [f"{'step':9} {'goes on with':13} to"]
    for name, step in TABLE.items():
        codes = f"{step.good.start}..{step.good.stop - 1}" if step.good else "-"
        rows.append(f"{name:9} {codes:13} {step.next}")
    return "\n".join(rows) + "\n"
