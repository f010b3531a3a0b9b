"""control/virtualdomains, from its lines to where a recipient goes: a row for each form (spec/04-send.md 3, 08 1)."""

from pathlib import Path

import pytest

from qmailpy.disk.home import Home
from qmailpy.rules.bounce import without_prefix
from qmailpy.rules.rewrite import route
from qmailpy.send.controls import Controls
from qmailpy.wire.delivery import LOCAL, REMOTE
from tests.support import write

# rule, lines, recipient, where it goes; a bare address is remote and unchanged
FORMS = [
    ("a domain", "d.example:p", "x@d.example", "p-x@d.example"),
    ("a domain in any letter case", "D.Example:P", "X@d.EXAMPLE", "P-X@d.EXAMPLE"),
    ("a domain is not what is below it", "d.example:p", "x@a.d.example", None),
    ("a domain is not one that ends like it", "d.example:p", "x@ad.example", None),
    ("what is below a domain", ".d.example:p", "x@a.d.example", "p-x@a.d.example"),
    ("what is far below it", ".d.example:p", "x@c.b.a.d.example", "p-x@c.b.a.d.example"),
    ("what is below it is not the domain", ".d.example:p", "x@d.example", None),
    ("a whole top level", ".example:p", "x@d.example", "p-x@d.example"),
    ("the longest suffix", ".example:p\n.d.example:q", "x@a.d.example", "q-x@a.d.example"),
    ("a domain beats suffixes", ".example:p\nd.example:q", "x@d.example", "q-x@d.example"),
    ("one address", "x@d.example:p", "X@D.example", "p-X@D.example"),
    ("one address is not another", "x@d.example:p", "y@d.example", None),
    ("one address beats its domain", "d.example:p\nx@d.example:q", "x@d.example", "q-x@d.example"),
    ("one address with an @ of its own", "a@b@d.example:p", "a@b@d.example", "p-a@b@d.example"),
    ("everything", ":p", "x@d.example", "p-x@d.example"),
    ("everything, without a dot", ":p", "x@host", "p-x@host"),
    ("everything is the last", ":p\n.example:q", "x@d.example", "q-x@d.example"),
    ("an exception for a domain", ":p\nd.example:", "x@d.example", None),
    ("an exception for what is below", "a.d.example:p\n.d.example:\n:q", "x@b.d.example", None),
    ("an exception for one address", "d.example:p\nx@d.example:", "x@d.example", None),
    ("a domain below an exception", ".d.example:\na.d.example:p", "x@a.d.example", "p-x@a.d.example"),
    ("everything but nothing", ":", "x@d.example", None),
    ("locals before all", "mx.example.org:p\nx@mx.example.org:q\n:r", "x@mx.example.org", "x@mx.example.org"),
    ("envnoathost first", "no.at.example:p", "x", "p-x@no.at.example"),
    ("percenthack first", "d.example:p", "x%d.example@hack.example", "p-x@d.example"),
    ("percenthack again and again", "d.example:p", "x%d.example%hack.example@hack.example", "p-x@d.example"),
    ("percenthack only where it is allowed", "d.example:p", "x%d.example@other.example", None),
    ("the last of equal keys", "d.example:p\nD.example:q", "x@d.example", "q-x@d.example"),
    ("the first colon divides", "d.example:p:q", "x@d.example", "p:q-x@d.example"),
    ("blanks at the end are none", "d.example:p \t", "x@d.example", "p-x@d.example"),
    ("other blanks are bytes", "d.example: p", "x@d.example", " p-x@d.example"),
    ("a blank before the colon is a byte", "d.example :p", "x@d.example", None),
    ("a comment", "#d.example:p", "x@d.example", None),
    ("a line without a colon", "d.example", "x@d.example", None),
    ("an empty line is not everything", "\n\nd.example:p\n\n", "x@e.example", None),
    ("no LF at the end", "a.example:q\nd.example:p", "x@d.example", "p-x@d.example"),
    ("a prefix with dashes", "d.example:alias-shop-x", "x@d.example", "alias-shop-x-x@d.example"),
    ("an empty domain", ":p", "x@", "p-x@"),
    ("no file", "", "x@d.example", None),
]


@pytest.mark.parametrize(("rule", "lines", "recipient", "stored"), FORMS, ids=[form[0] for form in FORMS])
def test_every_form_of_a_line(tmp_path: Path, rule: str, lines: str, recipient: str, stored: str | None) -> None:
    for name, content in (("me", "mx.example.org"), ("envnoathost", "no.at.example"), ("percenthack", "Hack.example")):
        write(f"{tmp_path}/control/{name}", content + "\n")
    if lines:
        write(f"{tmp_path}/control/virtualdomains", lines)
    domains = Controls(Home(bytes(tmp_path))).domains
    expected = (REMOTE, recipient.encode()) if stored is None else (LOCAL, stored.encode())
    assert route(recipient.encode(), domains) == expected, rule
    if stored is not None and "@" not in lines and recipient.endswith("@d.example"):
        # a bounce has it as it was; the prefix of one address stays, as in every qmail (spec/04 6)
        assert without_prefix(expected[1], domains.virtual) == recipient.encode()
