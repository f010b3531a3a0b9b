"""The steps of wire/smtp as text, for PIC and for who reads."""

from qmailpy.wire.smtp import TABLE


def table() -> str:
    """A line for each step."""
    rows = [f"{'step':9} {'goes on with':13} to"]
    for name, step in TABLE.items():
        codes = f"{step.good.start}..{step.good.stop - 1}" if step.good else "-"
        rows.append(f"{name:9} {codes:13} {step.next}")
    return "\n".join(rows) + "\n"
