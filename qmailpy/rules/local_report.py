"""What qmail-lspawn reports of a delivery that has ended: the table of spec/03-pipes.md 5.

One difference from C: codes that only a bug or a broken installation can produce (1, 2, 120, 126, 127, 130: how Python
and exec fail) are temporary here, and so are those above 128, by which a wrapper's shell says that its program was
killed. A bug must not bounce mail.
"""

OUTPUT_LIMIT = 3000  # bytes of a report's text
_TOO_LONG = b"\nError report too long, sorry.\n"
_KEPT = OUTPUT_LIMIT - len(_TOO_LONG) - 3

_FIXED = {
    112: b"ZInternal qmail-lspawn bug.\n",
    113: b"ZNot allowed to perform deliveries as root.\n",
    115: b"ZNFS failure in qmail-local.\n",
    116: b"ZUnable to find alias user!\n",
    117: b"ZTrouble reading users/cdb in qmail-lspawn.\n",
    118: b"ZTemporary failure in qmail-lspawn.\n",
    119: b"ZOut of memory in qmail-lspawn.\n",
    120: b"ZUnable to run qmail-local.\n",
    121: b"ZUnable to run qmail-getpw.\n",
    126: b"ZUnable to run qmail-local.\n",
    127: b"ZUnable to run qmail-local.\n",
}
_TEMPORARY = frozenset((111, 71, 74, 75, 1, 2, 130))
_SHELL_SIGNAL = 128  # a shell (a wrapper around qmail-local) exits with this and the number of the signal
CRASHED = b"Zqmail-local crashed.\n"


def shorten(output: bytes) -> bytes:
    """A report's text as it is kept while it grows: at most OUTPUT_LIMIT bytes."""
    return output if len(output) <= OUTPUT_LIMIT else output[:_KEPT] + _TOO_LONG


def local_report(output: bytes, code: int, signal: int) -> tuple[bytes, bytes]:
    """Letter and text.  code: exit code of qmail-local, 0..255; signal: > 0 if it was killed."""
    if signal or code > _SHELL_SIGNAL:
        fixed: bytes | None = CRASHED
    else:
        fixed = _FIXED.get(code)
    if fixed is not None:
        return fixed[:1], fixed[1:]
    text = shorten(output.partition(b"\0")[0])
    if code == 0:
        return b"K", text
    return (b"Z" if code in _TEMPORARY else b"D"), text
