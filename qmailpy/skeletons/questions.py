"""Questions whose answer may take long: names, accounts, programs, other hosts.

A conversation asks by name (Dialog.ask); who has a process of its own answers there and then, who serves thousands has
them answered by children that are kept warm. A question is a function(home, request) -> answer, both bytes, that keeps
nothing between two calls but what may be shared by all conversations.
"""

from qmailpy.disk.home import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Question = Callable[[Home, bytes], bytes]

# where each question's function lives: loaded when it is first asked, because most sessions ask few of them
PLACES = {
    b"nothing": ("qmailpy.skeletons.questions", "nothing"),
    b"peer-name": ("qmailpy.skeletons.peers", "name"),
    b"authenticate": ("qmailpy.skeletons.authenticating", "authenticate"),
    b"recipient": ("qmailpy.skeletons.recipients", "recipient"),
    b"morercpthosts": ("qmailpy.skeletons.relaying", "morercpthosts"),
    b"dnsbl": ("qmailpy.skeletons.dnsbl", "listed"),
    b"hook": ("qmailpy.skeletons.hooks", "hook"),
    b"plugins": ("qmailpy.skeletons.hooks", "plugin_file"),
}


def answer(home: Home, question: bytes, request: bytes) -> bytes:
    """Ask here, and wait.  Errors: OSError; KeyError for a question that does not exist."""
    module, name = PLACES[question]
    function: Question = getattr(__import__(module, fromlist=(name,)), name)
    return function(home, request)


def nothing(_: Home, request: bytes) -> bytes:
    """Gives the request back: for who wants to know whether anybody answers."""
    return request
