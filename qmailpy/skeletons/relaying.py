"""The question whether control/morercpthosts.cdb has a domain (questions.PLACES)."""

from qmailpy.disk.cdb import Cdb
from qmailpy.disk.home import Home
from qmailpy.rules import relay

DATABASE = b"morercpthosts.cdb"


def morercpthosts(home: Home, domain: bytes) -> bytes:
    """The key that allows this domain, nothing where there is none.

    domain: in lower case.  Errors: OSError where the database is damaged or cannot be read.
    """
    try:
        with Cdb(home.control(DATABASE)) as database:
            for key in relay.keys(domain):
                if database.get(key) is not None:
                    return key
    except FileNotFoundError:
        return b""
    return b""
