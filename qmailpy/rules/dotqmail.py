"""Which .qmail file an extension means, and who the sender of what it forwards is.

Pure: skeletons/dotqmail looks for the files. dash: empty or what stands between user and extension; ext: the extension
in its own letter case, any bytes without NUL. Source: spec/05-local.md 4, 6.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_STEM = b".qmail"
_DEFAULT = b"default"
_NO_SENDER = (b"", b"#@[]")  # a bounce's sender, a double bounce's: never rewritten


class Candidate:
    """A file that may hold the instructions.

    default: what $DEFAULT is if this one is taken; None: it is not set.
    """

    __slots__ = ("default", "name")

    def __init__(self, name: bytes, default: bytes | None) -> None:
        """name: relative to the user's home."""
        self.name, self.default = name, default


def safe_extension(ext: bytes) -> bytes:
    """The extension as file names have it: lower case, and no dots, so that no ../ leads out of the home."""
    return ext.lower().replace(b".", b":")


def candidates(dash: bytes, ext: bytes) -> "Iterator[Candidate]":
    """The file of this very extension, then the default files, from the most special to .qmail-default."""
    safe = safe_extension(ext)
    stem = _STEM + dash
    yield Candidate(stem + safe, ext[-len(_DEFAULT) :] if safe.endswith(_DEFAULT) else None)
    for length in range(len(safe), -1, -1):
        if length == 0 or safe[length - 1 : length] == b"-":
            yield Candidate(stem + safe[:length] + _DEFAULT, ext[length:])


def owner_file(dash: bytes, ext: bytes) -> bytes:
    """If this file exists, bounces of what is forwarded come to it."""
    return _STEM + dash + safe_extension(ext) + b"-owner"


def owner_default_file(dash: bytes, ext: bytes) -> bytes:
    """If this one exists too, each recipient gets a sender of his own (VERP)."""
    return owner_file(dash, ext) + b"-default"


def may_have_owner(sender: bytes) -> bool:
    """Whether the owner files are looked for at all."""
    return sender not in _NO_SENDER


def owner_sender(local: bytes, domain: bytes, *, verp: bool) -> bytes:
    """The sender of what is forwarded where the owner file exists.  verp: the owner-default file does, too."""
    if verp:
        return b"%s-owner-@%s-@[]" % (local, domain)
    return b"%s-owner@%s" % (local, domain)
