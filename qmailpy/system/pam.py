"""Passwords of this machine's accounts: by PAM where its library is, else by /etc/shadow and crypt(3).

Both libraries are spoken to directly: Python has never known PAM, and knows crypt(3) no more since 3.13. Only the
program that checks passwords loads this, as root: ctypes costs 10 ms.
"""

import ctypes
import posix

from qmailpy.system import descriptors

SERVICE = b"qmail"  # whose rules count: /etc/pam.d/qmail, or /etc/pam.d/other
_LIBRARIES = ("libpam.so.0", "libpam.so")
_CRYPT_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2", None)  # None: the C library itself, as musl's
_SHADOW, _SHADOW_LIMIT = b"/etc/shadow", 16 << 20  # bytes

# security/_pam_types.h of Linux
_SUCCESS, _BUFFER_ERROR = 0, 5
_REFUSALS = frozenset((6, 7, 8, 10, 11, 12, 13, 27))  # permission, password, credentials, user, tries, expiry (three)
_ECHO_OFF, _ECHO_ON = 1, 2
_SILENT, _NO_EMPTY_PASSWORD = 0x8000, 0x0001
_RHOST, _AUTHTOK_MOST = 4, 512  # an item; PAM_MAX_RESP_SIZE
_MOST_MESSAGES = 32


class Trouble(Exception):
    """Nobody knows whether the password is right.  text: a clause."""

    def __init__(self, text: bytes) -> None:
        """text: printable."""
        super().__init__(text)
        self.text = text


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_TALK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p,
)


class _Conversation(ctypes.Structure):
    _fields_ = (("talk", _TALK), ("data", ctypes.c_void_p))


def _load(names: tuple[str | None, ...], function: str) -> ctypes.CDLL | None:
    for name in names:
        try:
            library = ctypes.CDLL(name)
            getattr(library, function)
        except (OSError, AttributeError):
            continue
        return library
    return None


def verify(name: bytes, password: bytes, remote: bytes, service: bytes = SERVICE) -> bool:
    """Whether this account has this password and may log in.

    name, password: without NUL; remote: the client's address, for the system's log.  Errors: Trouble.
    """
    library = _load(_LIBRARIES, "pam_start")
    if library is None:
        return _verify_by_shadow(name, password)
    return len(password) < _AUTHTOK_MOST and _Session(library, name, password).verify(service, remote)


class _Session:
    """One conversation with PAM's modules, which ask for what they want to know."""

    def __init__(self, library: ctypes.CDLL, name: bytes, password: bytes) -> None:
        self._library, self._name, self._password = library, name, password
        self._libc = ctypes.CDLL(None)
        self._libc.calloc.restype = self._libc.strdup.restype = ctypes.c_void_p

    def verify(self, service: bytes, remote: bytes) -> bool:
        handle = ctypes.c_void_p()
        conversation = _Conversation(_TALK(self._talk), None)
        status: int = self._library.pam_start(service, self._name, ctypes.byref(conversation), ctypes.byref(handle))
        if status != _SUCCESS:
            raise Trouble(b"PAM does not start: its error %d" % status)
        try:
            if remote:
                self._library.pam_set_item(handle, _RHOST, ctypes.c_char_p(remote))
            status = self._library.pam_authenticate(handle, _SILENT | _NO_EMPTY_PASSWORD)
            if status == _SUCCESS:
                status = self._library.pam_acct_mgmt(handle, _SILENT | _NO_EMPTY_PASSWORD)
        finally:
            self._library.pam_end(handle, status)
        if status != _SUCCESS and status not in _REFUSALS:
            raise Trouble(b"PAM cannot tell: its error %d" % status)
        return bool(status == _SUCCESS)

    def _talk(self, count: int, messages: object, answers: object, _data: object) -> int:
        """Called by the modules.  Nothing may be raised here: it would get lost in C."""
        try:
            return self._answer(count, messages, answers)
        except BaseException:  # noqa: BLE001
            return _BUFFER_ERROR

    def _answer(self, count: int, messages: object, answers: object) -> int:
        if not 0 < count <= _MOST_MESSAGES:
            return _BUFFER_ERROR
        memory = self._libc.calloc(ctypes.c_size_t(count), ctypes.c_size_t(ctypes.sizeof(_Response)))
        if not memory:
            return _BUFFER_ERROR
        responses = ctypes.cast(memory, ctypes.POINTER(_Response))
        for at in range(count):
            style = messages[at].contents.style  # type: ignore[index]
            if style == _ECHO_OFF:
                responses[at].text = self._libc.strdup(self._password)
            elif style == _ECHO_ON:
                responses[at].text = self._libc.strdup(self._name)
        answers[0] = memory  # type: ignore[index]
        return _SUCCESS


def crypt(password: bytes, kept: bytes) -> bytes | None:
    """What the C library makes of a password, by the way that an old result tells; None where it does not know that."""
    library = _load(_CRYPT_LIBRARIES, "crypt")
    if library is None:
        return None
    library.crypt.restype = ctypes.c_char_p
    found: bytes | None = library.crypt(password, kept)
    return None if found is None or found.startswith(b"*") else found


def _verify_by_shadow(name: bytes, password: bytes) -> bool:
    """Where there is no PAM: expiry and locks are not looked at, but a locked password fits nothing."""
    try:
        descriptor = posix.open(_SHADOW, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            text = descriptors.read_whole(descriptor, _SHADOW_LIMIT)
        finally:
            posix.close(descriptor)
    except OSError:
        raise Trouble(b"there is no PAM here, and /etc/shadow cannot be read") from None
    for line in text.split(b"\n"):
        parts = line.split(b":")
        if parts[0] == name and len(parts) > 1:
            kept = parts[1]
            return len(kept) > 1 and kept[:1] not in b"!*" and crypt(password, kept) == kept
    return False
