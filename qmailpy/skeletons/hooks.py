"""The question what a program of the administrator's says about a session: plugins and $RCPTCHECK (questions.PLACES).

It is really executed, from the home, with the session's environment and nothing else of ours: a plugin with descriptor
0 closed and 1 heard, $RCPTCHECK with 0 from /dev/null, 1 joined to 2, and its words on 4. Descriptor 2 is the log;
where that is the client's own connection (inetd), nobody must hear it. Time and output are bounded; what takes longer,
or says more, is ended with everything that it has started, and counts as failed.
"""

import errno
import posix
import select

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import plugins
from qmailpy.system import clock, descriptors, process
from qmailpy.verdict import Die
from qmailpy.wire import netstring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PLUGIN, CHECK = b"plugin", b"check"
LONGEST = 50.0  # seconds of one program: less than a listener waits for any answer (receive/listener/asking)
MOST = 65536  # bytes that one may say
EXITED, CRASHED, ENDED = b"exit", b"signal", b"ended"  # ended: by us
FAILED = process.EXEC_FAILED
_IN, _OUT, _LOG, _WORDS = 0, 1, 2, 4
_NULL = b"/dev/null"
_SOCKET, _KIND = 0o140000, 0o170000


class Said:
    """What a program said.  code: its exit code, None if it did not exit by itself; output: what was heard of it."""

    __slots__ = ("code", "output")

    def __init__(self, code: int | None, output: bytes) -> None:
        """As above."""
        self.code, self.output = code, output


def request(manner: bytes, command: bytes, environment: dict[bytes, bytes]) -> bytes:
    """The question.  manner: PLUGIN or CHECK; command: of rules/plugins."""
    variables = [b"%s=%s" % (name, value) for name, value in environment.items()]
    return netstring.pack([manner, command, *variables])


def heard(answer: bytes) -> Said:
    """The answer, taken apart.  Errors: OSError for one that is none."""
    try:
        ending, code, output = netstring.unpack(answer)
        return Said(int(code[:3]) if ending == EXITED else None, output)
    except (netstring.NetstringError, ValueError):
        raise OSError("not an answer") from None


def hook(home: Home, request: bytes) -> bytes:
    """Of questions.PLACES: run it.  Errors: OSError, it cannot even be tried."""
    manner, command, *variables = netstring.unpack(request)
    environment = {name: value for name, value in map(_pair, variables) if name}
    environment.setdefault(b"PATH", process.DEFAULT_PATH)
    read_end, write_end = posix.pipe2(posix.O_CLOEXEC)
    try:
        prepare = _as_plugin if manner == PLUGIN else _as_check
        pid = process.fork(lambda: _become(home, prepare, write_end, plugins.argv(command), environment))
    except OSError:
        posix.close(read_end)
        raise
    finally:
        posix.close(write_end)
    try:
        output = _listen(read_end, pid)
    finally:
        posix.close(read_end)
    if output is None:
        process.end_group(pid)
        process.wait(pid)
        return netstring.pack([ENDED, b"0", b""])
    ending = process.wait(pid)
    how = CRASHED if ending.signal else EXITED
    return netstring.pack([how, b"%d" % (ending.signal or ending.code), output])


def _pair(variable: bytes) -> tuple[bytes, bytes]:
    name, _, value = variable.partition(b"\0")[0].partition(b"=")
    return name, value


def _listen(descriptor: int, pid: int) -> bytes | None:
    """What it says until it has ended and closed its output; None if that takes too long, or is too much."""
    output = b""
    end = clock.monotonic() + LONGEST
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    ended = _watch(pid)
    try:
        open_ends = {descriptor}
        if ended >= 0:
            poll.register(ended, select.POLLIN)
            open_ends.add(ended)
        while open_ends:
            left = end - clock.monotonic()
            ready = poll.poll(left * 1000) if left > 0 else []
            if not ready:
                return None
            for one, _ in ready:
                piece = posix.read(one, descriptors.READ_SIZE) if one == descriptor else b""
                output += piece
                if len(output) > MOST:
                    return None
                if not piece:
                    poll.unregister(one)
                    open_ends.discard(one)
    finally:
        descriptors.close(ended) if ended >= 0 else None
    return output


def _watch(pid: int) -> int:
    """A descriptor that becomes readable when this child ends; -1 where the kernel has none."""
    try:
        return posix.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1


def _as_plugin(heard_end: int) -> int:
    process.arrange({_OUT: heard_end, _LOG: _log()})
    descriptors.close(_IN)
    return _LOG


def _as_check(heard_end: int) -> int:
    log = _log()
    process.arrange({_IN: posix.open(_NULL, posix.O_RDONLY), _OUT: log, _LOG: log, _WORDS: heard_end})
    return _WORDS


def _log() -> int:
    """Descriptor 2, or a place where nobody hears it: under inetd it is the client."""
    try:
        first, log = posix.fstat(_IN), posix.fstat(_LOG)
    except OSError:
        return posix.open(_NULL, posix.O_WRONLY | posix.O_CLOEXEC)
    if log.st_mode & _KIND == _SOCKET and (first.st_dev, first.st_ino) == (log.st_dev, log.st_ino):
        return posix.open(_NULL, posix.O_WRONLY | posix.O_CLOEXEC)
    return _LOG


def _become(
    home: Home, prepare: "Callable[[int], int]", heard_end: int, argv: list[bytes], environment: dict[bytes, bytes]
) -> int:
    try:
        process.lead_group()
        process.close_above(max(prepare(heard_end), _LOG))
        posix.chdir(home.path)
        process.execute(argv[0], argv, environment)
    except BaseException:  # noqa: BLE001 - whatever it is, the program did not run, and its silence means nothing
        return FAILED


def plugin_file(home: Home, path: bytes) -> bytes:
    """Of questions.PLACES: the text of the file that $SPPCONFFILE names.  Errors: OSError."""
    try:
        text = control.read(path if path.startswith(b"/") else home.at(path))
    except Die as death:
        raise OSError(errno.EIO, death.text.decode("ascii", "replace")) from None
    return text or b""
