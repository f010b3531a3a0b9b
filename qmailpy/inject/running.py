"""Another of our programs as a face of sendmail needs it: in this process, or really executed.

Used by the programs sendmail and mailq, which name the program, as execv would.
"""

from qmailpy.disk.home import Home
from qmailpy.system import descriptors, launcher, process
from qmailpy.verdict import EXIT, TEMP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[str, list[bytes], Home], int]


def run_as_ours(run: "Run", caller: bytes, name: str, words: list[bytes], home: Home) -> int:
    """The exit code of bin/NAME: run here while it is our own launcher and QMAILEXEC is not set, else executed.

    run: of qmailpy.programs; caller: who says so where it cannot be run; words: without the program's name.
    """
    path = home.program(name)
    argv = [name.encode(), *words]
    environment = process.environment()
    if not environment.get(b"QMAILEXEC") and launcher.Launchers(launcher.library()).is_ours(path):
        return run(name, argv, home)

    def execute() -> int:
        try:
            process.execute(path, argv, environment)
        except OSError:
            descriptors.say(caller + b": fatal: unable to run " + argv[0])
        return EXIT[TEMP]

    ending = process.wait(process.fork(execute))
    return EXIT[TEMP] if ending.signal else ending.code
