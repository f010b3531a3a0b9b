"""PIC/rem2rem.md: mail of a machine that may relay goes on to another host, by that host's mail exchangers."""

import os

import pytest

from tests.neighbours import smtp_sink
from tests.places import Place
from tests.reception_support import BOTH, LISTENER, is_resident, make_rules, serving
from tests.support import wait_for
from tests.world import FAR, OTHER, WAYS, plain, received, reports, world

US, LAN, STRANGER = "192.0.2.1", "198.51.100.7", "198.51.100.8"
LETTER = "From: eve@lan.example\nSubject: through\n\n..dots\n\nlast\n"


@WAYS
@BOTH
def test_rem2rem(place: Place, kind: str, tmp_path: object) -> None:
    rules = make_rules(place, f'{LAN}:allow,RELAYCLIENT=""\n:allow\n')
    place.start()
    with (
        world(tmp_path) as far,
        smtp_sink(f"{tmp_path}/other", OTHER) as other,
        serving(place, kind, 25, address=US, rules=rules) as port,
    ):
        with port.smtp(source=STRANGER) as client:
            client.say("MAIL FROM:<eve@lan.example>")
            assert client.say("RCPT TO:<ann@far.example>").startswith("553 sorry, that domain isn't in my list")
        with port.smtp(source=LAN) as client:
            client.mail("eve@lan.example", "ann@far.example", "bob@other.example", text=LETTER)
            client.quit()
        place.log.ends(1)
        texts = [plain(sink.mail()[0]) for sink in (far, other)]
        resident = is_resident(port)

    for text, recipient in zip(texts, ("ann@far.example", "bob@other.example"), strict=True):
        assert "X-Mail-Args: <eve@lan.example>" in text
        assert f"X-Rcpt-Args: <{recipient}>" in text
        hops = received(text)[1:]  # the first one is the sink's own
        assert hops[0].startswith("(qmail ")
        assert f"({LAN}) by {place.domain} with SMTP; " in hops[1]
        assert "Delivered-To" not in text  # it has been nobody's here
        assert text.rstrip("\n").endswith("Subject: through\n\n.dots\n\nlast")
    ended = reports(place.log)
    assert ended["ann@far.example"].report.startswith(f"{FAR}_accepted_message./")
    assert ended["bob@other.example"].report.startswith(f"{OTHER}_accepted_message./")
    assert resident == (kind == LISTENER and not place.exec_forced)
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()


@WAYS
@pytest.mark.parametrize("is_up", [True, False])
def test_a_backup_exchanger_hands_on_to_better_ones_only(place: Place, is_up: bool, tmp_path: object) -> None:
    """far.example names us as its second choice: its mail goes to the first one, waits for it, or is a mistake."""
    zone = "@ IN MX 10 mx\n@ IN MX 20 us\n@ IN MX 30 worse\nmx IN A {}\nus IN A {}\nworse IN A {}\n"
    zones = {
        "far.example": zone.format(FAR if is_up else OTHER, US, FAR),
        "ours.example": zone.format(US, US, FAR),
    }
    place.start()
    with world(tmp_path, zones) as sink:
        place.send("ann@far.example", sender=place.address)
        line = place.log.wait("delivery", outcome="success" if is_up else "deferral")
        assert line.report.startswith(
            f"{FAR}_accepted_message./" if is_up else "Sorry,_I_wasn't_able_to_establish_an_SMTP_connection._(#4.4.1)/"
        )
        place.send("ann@ours.example", sender=place.address)
        assert "#5.4.6" in place.log.wait("delivery", outcome="failure").report
        assert b"Although I'm listed as a best-preference MX or A for that host" in place.mail()[0]
        assert len(os.listdir(sink.folder)) == int(is_up)
    place.stop()
