"""Plugins of qmail-spp in a session: which are run when, and what comes of what they say (spec/10-neighbours.md c12).

A plugin that cannot be executed, crashes or takes too long means 451 for the command that it was asked about: what it
would have said nobody knows. Its exit code means nothing but that. $NOSPP switches all of them off.
"""

from qmailpy.disk import control
from qmailpy.receive.refusal import Refusal
from qmailpy.rules import plugins as rules
from qmailpy.skeletons import hooks
from qmailpy.wire import plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.skeletons.dialog import Dialog

CONNECTION, HELO, MAIL, RCPT, DATA, AUTH = b"connection", b"helo", b"mail", b"rcpt", b"data", b"auth"
OFF, OTHER_FILE = b"NOSPP", b"SPPCONFFILE"
FAILED = b"451 unable to ask a plugin (#4.3.0)"
_LATER = {b"M": MAIL, b"R": RCPT, b"D": DATA}  # the second letter of L


class Plugins:
    """Those of one session.

    headers: lines for the message; replaced: the address that the last run() put in the place of what it was asked
    about, or None; accepts: whether it wants the server's own checks skipped.
    """

    __slots__ = ("_commands", "_dialog", "_later", "_off", "accepts", "headers", "replaced")

    def __init__(self, dialog: "Dialog", commands: dict[bytes, tuple[bytes, ...]]) -> None:
        """commands: by moment, of rules/plugins."""
        self._dialog, self._commands = dialog, commands
        self._later: dict[bytes, bytes] = {}
        self._off = OFF in dialog.environment
        self.headers: list[bytes] = []
        self.replaced: bytes | None = None
        self.accepts = False

    def reset(self, *, at_mail: bool = False) -> None:
        """No transaction any more: what was remembered for it is forgotten, at MAIL also what was for MAIL itself."""
        kept = None if at_mail else self._later.get(MAIL)
        self._later.clear()
        if kept is not None:
            self._later[MAIL] = kept
        self.headers.clear()

    def use(self, commands: dict[bytes, tuple[bytes, ...]]) -> None:
        """Of another file."""
        self._commands = commands

    def remembered(self, moment: bytes) -> Refusal | None:
        """What an earlier plugin wants this command to be answered with."""
        text = self._later.get(moment)
        return None if text is None else Refusal(plugin.reply(text), b"plugin:later")

    async def run(self, moment: bytes) -> Refusal | None:
        """Ask those of this moment, one after the other; the session's environment says what about."""
        self.replaced, self.accepts = None, False
        if self._off:
            return None
        for command in self._commands.get(moment, ()):
            try:
                request = hooks.request(hooks.PLUGIN, command, self._dialog.environment)
                said = hooks.heard(await self._dialog.ask(b"hook", request))
            except OSError:
                return Refusal(FAILED, _rule(command))
            if said.code is None or said.code == hooks.FAILED:
                return Refusal(FAILED, _rule(command))
            for letter, text in plugin.orders(said.output):
                if letter in _ENDS:
                    return self._end(letter, text, command)
                if letter == plugin.NO_MORE_PLUGINS:
                    self._off = True
                    return None
                if letter in (plugin.NEXT_MOMENT, plugin.ACCEPT):
                    self.accepts = letter == plugin.ACCEPT
                    return None
                self._obey(letter, text)
        return None

    @staticmethod
    def _end(letter: bytes, text: bytes, command: bytes) -> Refusal:
        if letter == plugin.DROP:
            return Refusal(b"", _rule(command), closes=True)
        return Refusal(plugin.reply(text), _rule(command), closes=letter == plugin.CLOSE)

    def _obey(self, letter: bytes, text: bytes) -> None:
        """An order after which the plugin is listened to further; what is no order is nothing."""
        environment = self._dialog.environment
        if letter == plugin.PRINT:
            self._dialog.say(plugin.printed(text))
        elif letter == plugin.LATER and text[:1] in _LATER:
            self._later[_LATER[text[:1]]] = text[1:].strip()
        elif letter == plugin.SET and text.partition(b"=")[0]:
            name, _, value = text.partition(b"=")
            environment[name.strip()] = value
        elif letter == plugin.UNSET:
            environment.pop(text.strip(), None)
        elif letter == plugin.HEADER and (line := plugin.header(text)):
            self.headers.append(line)
        elif letter == plugin.REPLACE:
            self.replaced = text.strip()


_ENDS = (plugin.ERROR, plugin.CLOSE, plugin.DROP)


def _rule(command: bytes) -> bytes:
    """For the log: the program's name."""
    words = command.split()
    return b"plugin:" + (words[0].rpartition(b"/")[2] if words else b"")


async def other_file(dialog: "Dialog", path: bytes) -> dict[bytes, tuple[bytes, ...]]:
    """The commands in another file than control/smtpplugins.  Errors: OSError, it cannot be read."""
    return rules.sections(control.entries(await dialog.ask(b"plugins", path)))
