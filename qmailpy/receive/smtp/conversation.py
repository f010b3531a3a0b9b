"""The course of one SMTP session, from the greeting to the last word (spec/06 5; RFC 5321).

What each command does is in commands. It waits for nothing but the client and what it asks for: thousands of sessions
share a process (receive/listener), or one has its own (qmail-smtpd). Every line of the client is bounded.
"""

from qmailpy.receive.refusal import Refusal
from qmailpy.receive.smtp.commands import COMMANDS, UNIMPLEMENTED
from qmailpy.receive.smtp.ending import LOST, End
from qmailpy.receive.smtp.session import Session
from qmailpy.skeletons.dialog import Gone, Silent, TlsFailed
from qmailpy.verdict import EXIT, TEMP
from qmailpy.wire import smtp_server as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.policy.policy import Policy
    from qmailpy.receive.smtp.controls import Controls
    from qmailpy.receive.smtp.services import Services
    from qmailpy.skeletons.dialog import Dialog

NO_CONTROLS = b"421 unable to read controls (#4.3.0)"
NO_MEMORY = b"421 out of memory (#4.3.0)"
_NO_MEMORY_HERE = b"qmail-smtpd: warning: out of memory: is the limit in the run file (softlimit) too small?"
_TROUBLE = b"421 something is wrong here: try again later (#4.3.0)"
_TIMEOUT = b"451 timeout (#4.4.2)"


async def converse(dialog: "Dialog", controls: "Controls", policy: "Policy", services: "Services") -> int:
    """Hold a session from its first byte to its last.  Result: the exit code: 0 after QUIT, 1 for any other end.

    Errors: whatever a bug raises, after the client has been told to come again.
    """
    session = Session(dialog, controls, policy, services)
    try:
        return await _hold(session)
    finally:
        session.begin_anew()


async def _hold(session: Session) -> int:
    dialog = session.dialog
    code = LOST
    try:
        code = await _run(session)
    except End as end:
        code = end.code
    except Silent:
        dialog.say(wire.reply(_TIMEOUT))
    except Gone:
        pass
    except TlsFailed as failure:
        session.policy.log(Refusal(failure.text, b"tls"))
    except MemoryError:
        code = EXIT[TEMP]
        dialog.say(wire.reply(NO_MEMORY))
        dialog.note(_NO_MEMORY_HERE)
    except Exception:
        dialog.say(wire.reply(_TROUBLE))
        await session.leave()
        raise
    except BaseException:  # whoever serves it goes on without it: nothing can be awaited any more
        session.abandon()
        raise
    await session.leave()
    return code


async def _run(session: Session) -> int:
    """Exit code: 0 after QUIT.  Errors: End; those of the dialog."""
    dialog = session.dialog
    await _arrive(session)
    if (refusal := await session.policy.connected()) is not None:
        session.refuse(refusal)
        raise End(LOST)
    dialog.say(wire.reply(b"220 " + session.greeting + b" ESMTP"))
    first = await _receive(session)
    if wire.is_foreign_start(first):
        _turn_away(session)
    dialog.unread(first)
    while True:
        dialog.until = min(dialog.now() + dialog.patience, session.idle_until)  # for the command as a whole
        line = await dialog.line(wire.LINE)
        if line is None:
            return LOST
        if len(line) > wire.LINE:
            session.complain(b"500 line too long (#5.5.2)")
        elif b"\0" in line:
            session.complain(b"500 a command must not hold NUL (#5.5.2)")
        else:
            verb, argument = wire.split(line)
            act = COMMANDS.get(verb)
            if act is None:
                _wonder(session, verb)
            else:
                await act(session, argument)


async def _receive(session: Session) -> bytes:
    session.dialog.until = session.dialog.now() + session.dialog.patience
    came = await session.dialog.receive()
    if not came:
        raise End(LOST)
    return came


async def _arrive(session: Session) -> None:
    """Before the greeting."""
    controls, services = session.controls, session.services
    if controls.proxies:
        from qmailpy.receive.smtp.fronting import unwrap

        await unwrap(session)
    if services.implicit and services.tls is not None:
        from qmailpy.receive.smtp.securing import secure

        await secure(session, services.tls)
    elif controls.delay:
        from qmailpy.receive.smtp.fronting import listen_first

        await listen_first(session)
    if controls.greeting is None:
        session.dialog.say(wire.reply(NO_CONTROLS))
        raise End(LOST)


def _wonder(session: Session, verb: bytes) -> None:
    if wire.is_foreign(verb):
        _turn_away(session)
    session.complain(UNIMPLEMENTED)


def _turn_away(session: Session) -> None:
    """A client of another protocol: what it says next may have been written by somebody else."""
    session.refuse(Refusal(b"502 this is SMTP: good bye (#5.5.1)", b"protocol", closes=True))
