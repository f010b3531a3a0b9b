"""A protocol of a few words, served by the machinery of qmail-listen: what its tests talk to, instead of SMTP.

    small_service.py HOME WORKERS [OPTION...] HOST PORT PROGRAM

Each word is a line of its own; the answer is one line too.  PROGRAM is not run.
"""

import os
import signal
import sys

from qmailpy.disk.home import Home
from qmailpy.receive.listener import options
from qmailpy.receive.listener.master import Master
from qmailpy.receive.listener.service import Service
from qmailpy.skeletons.dialog import Dialog
from qmailpy.system import identity, listening, signals

PIECE = 16384


async def converse(dialog: Dialog) -> int:
    """Until QUIT."""
    dialog.say(b"220 hello\r\n")
    while True:
        line = await dialog.line(1000)
        if line is None:
            return 1
        word, _, rest = line.partition(b" ")
        if word == b"QUIT":
            dialog.say(b"221 bye\r\n")
            await dialog.finish()
            return 0
        dialog.say(await answer(dialog, word, rest) + b"\r\n")


async def answer(dialog: Dialog, word: bytes, rest: bytes) -> bytes:
    if word == b"PID":
        return b"%d" % os.getpid()
    if word == b"ENV":
        return dialog.environment.get(rest, b"unset")
    if word == b"ASK":
        question, _, request = rest.partition(b" ")
        try:
            return await dialog.ask(question, request)
        except OSError as error:
            return b"cannot be asked: %d" % (error.errno or 0)
    if word == b"SEND":  # a message of so many bytes
        return await send(dialog, int(rest))
    if word == b"FLOOD":
        return b"x" * int(rest)
    if word == b"PATIENCE":
        dialog.patience = float(rest)
        return b"ok"
    if word == b"RAISE":
        raise ValueError(rest)
    if word == b"CRASH":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == b"NOTE":
        dialog.note(b"small: " + rest)
        return b"ok"
    return rest  # ECHO


async def send(dialog: Dialog, size: int) -> bytes:
    incoming = dialog.begin()
    for at in range(0, size, PIECE):
        await incoming.write(b"x" * (min(PIECE, size - at) - 1) + b"\n")
    result = await incoming.close(b"sender@example.org", [b"nobody@mx.example.org"])
    return result.text or b"ok %d" % result.qp


def make(_renewing: bool) -> Service:
    if os.path.exists(f"{os.environ['QMAILHOME']}/refuse"):  # as a service whose control files are wrong
        raise ValueError("no")
    return Service(b"qmail-smtpd", converse, farewell=b"421 too many\r\n", patience=60.0)


def main() -> int:
    home, count = Home(sys.argv[1].encode()), int(sys.argv[2])
    chosen = options.read([os.fsencode(word) for word in sys.argv[3:]], {})
    signals.ignore(signals.SIGHUP)
    listener = listening.open_socket(chosen.host, int(chosen.port), 0, b"", chosen.backlog)
    os.write(1, b"%d\n" % listener.port)
    account = identity.my_uid(), identity.my_gid()
    master = Master(home, chosen, [listener], make, account, count)
    return master.run()


if __name__ == "__main__":
    sys.exit(main())
