"""control/smtpauth: the logins that routes name with auth=.

    name:user:password

One line each; empty lines and lines that begin with '#' are skipped. The password is the rest of the line as it stands,
colons and blanks too. Pure; who reads the file, and who may, is disk/secret's.
"""

from qmailpy.wire.sasl import Credentials


class BadLogin(Exception):
    """There is no such login, or its line cannot be used.  reason: a clause, without anything secret."""

    def __init__(self, reason: bytes) -> None:
        """reason: printable."""
        super().__init__(reason)
        self.reason = reason


def find(text: bytes, name: bytes) -> Credentials:
    """The login of this name; the last of equal names wins.  Errors: BadLogin."""
    found = None
    for number, line in enumerate(text.split(b"\n"), 1):
        if line.startswith(b"#") or not line.strip():
            continue
        key, _, rest = line.partition(b":")
        if key == name:
            found = (number, rest)
    if found is None:
        raise BadLogin(b"there is no line for this name")
    number, rest = found
    user, _, password = rest.partition(b":")
    if not user or not password:
        raise BadLogin(b"line %d is not name:user:password" % number)
    if b"\r" in rest or b"\0" in rest:  # an editor's CR, for one
        raise BadLogin(b"line %d has a CR or NUL" % number)
    return Credentials(user, password)
