"""except: turns another program's answer round, in a .qmail file.

    except program [argument...]

As in |except bouncesaying ..., or to refuse what a test finds. (The file has a _ because the language has the word.)
Runs as: the user.
Descriptors: 0 the message, which the program may read; 2 one line if it fails.
Exit codes: 100 the program's was 0, or usage; 111 its was 111, or it is killed; 0 its was any other.
Control files: none.  Trusts: nobody.
"""

from qmailpy.disk.home import Home
from qmailpy.local import question
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK, PERM


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del home
    if len(argv) == 1:
        descriptors.say(b"except: usage: except program [ arg ... ]")
        return EXIT[PERM]
    return EXIT[PERM if question.says_yes(argv[1:]) else OK]
