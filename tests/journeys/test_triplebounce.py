"""PIC/triplebounce.md: a double bounce that nobody takes ends with a line in the log: no mail goes round for ever."""

from tests.logs import in_order
from tests.places import Place
from tests.support import wait_for
from tests.world import REFUSES, WAYS, world


@WAYS
def test_triplebounce(place: Place, tmp_path: object) -> None:
    place.control("doublebouncehost", "far.example\n")
    place.start()
    with world(tmp_path, None, *REFUSES):
        place.send("ann@far.example", sender="ghost@far.example")
        place.log.ends(3)
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()

    third = [line for line in place.log.lines if line.kind == "new"][-1].msg
    in_order(
        place.log,
        r"starting delivery 1: msg \d+ to remote ann@far\.example",
        r"bounce msg \d+ qp \d+",
        r"starting delivery 2: msg \d+ to remote ghost@far\.example",
        r"bounce msg \d+ qp \d+",
        rf"info msg {third}: bytes \d+ from <#@\[\]> qp \d+ uid \d+",
        rf"starting delivery 3: msg {third} to remote postmaster@far\.example",
        r"delivery 3: failure: .*",
        rf"triple bounce: discarding bounce/{third}",
        rf"end msg {third}",
    )
    assert [line.kind for line in place.log.lines].count("new") == 3
    assert not place.log.strangers()
