"""Where make run puts its home, and what is said about the machine around it."""

import os

import pytest

from qmailpy.install import around, ground
from qmailpy.verdict import Die

ROOT = os.geteuid() == 0


@pytest.mark.skipif(ROOT, reason="for an ordinary user")
def test_an_ordinary_users_home_is_in_his_checkout() -> None:
    assert ground.choose_home(b"/src/qmailpy", print) == (b"/src/qmailpy/var/qmail", os.geteuid())


@pytest.mark.skipif(not ROOT, reason="needs root: it becomes somebody else")
@pytest.mark.parametrize(("owner", "becomes"), [(0, 65534), (4242, 4242)])
def test_root_becomes_the_owner_of_the_checkout(tmp_path: object, owner: int, becomes: int) -> None:
    checkout = f"{tmp_path}/checkout"
    os.mkdir(checkout, 0o755)
    os.chmod(str(tmp_path), 0o755)
    os.chown(checkout, owner, owner)
    if not ground.can_reach(checkout.encode(), becomes):
        pytest.skip("the place for the tests' files is closed to others")
    home, uid = ground.choose_home(checkout.encode(), print)
    assert (home, uid) == (checkout.encode() + b"/var/qmail", becomes)
    assert os.stat(f"{checkout}/var").st_uid == becomes


@pytest.mark.skipif(not ROOT, reason="needs root: it becomes somebody else")
def test_a_checkout_that_is_closed_to_that_user_has_its_home_elsewhere(tmp_path: object) -> None:
    closed = f"{tmp_path}/closed"
    os.makedirs(f"{closed}/checkout")
    os.chmod(closed, 0o700)
    said: list[str] = []
    elsewhere = f"{tmp_path}/elsewhere".encode()
    os.mkdir(elsewhere)
    home, uid = ground.choose_home(f"{closed}/checkout".encode(), said.append, elsewhere)
    assert uid == 65534
    assert os.path.dirname(home) == elsewhere
    assert os.stat(home).st_uid == 65534
    assert said == [f"uid 65534 cannot reach {closed}/checkout; the home is {home.decode()}"]
    assert ground.choose_home(f"{closed}/checkout".encode(), said.append, elsewhere) == (home, uid)


@pytest.mark.parametrize("kind", ["link", "others", "file"])
def test_somebody_elses_directory_is_refused(tmp_path: object, kind: str) -> None:
    place = f"{tmp_path}/place"
    if kind == "link":
        os.symlink("/tmp", place)
    elif kind == "file":
        with open(place, "wb"):
            pass
    else:
        os.mkdir(place)
        os.chmod(place, 0o777)
    with pytest.raises(Die):
        ground.give(place.encode(), os.geteuid())


def test_whose_sendmail_it_is_and_what_to_do(tmp_path: object) -> None:
    home = f"{tmp_path}/home"
    os.makedirs(f"{home}/bin")
    for name in ("ours", "other", "dangling", "missing"):
        os.mkdir(f"{tmp_path}/{name}")
    for path in (f"{home}/bin/sendmail", f"{tmp_path}/other/sendmail"):
        with open(path, "wb"):
            pass
    os.symlink(f"{home}/bin/sendmail", f"{tmp_path}/ours/sendmail")
    os.symlink("/nonexistent", f"{tmp_path}/dangling/sendmail")
    paths = tuple(f"{tmp_path}/{name}/sendmail".encode() for name in ("ours", "other", "dangling", "missing"))
    ours, other, dangling, missing = around.holders(home.encode(), paths)
    assert ours == f"{tmp_path}/ours/sendmail is ours"
    assert "left alone" in other
    assert f"ln -sf {home}/bin/sendmail {tmp_path}/dangling/sendmail" in dangling
    assert f"ln -s {home}/bin/sendmail {tmp_path}/missing/sendmail" in missing


def test_a_package_manager_that_knows_nothing_says_nothing(tmp_path: object) -> None:
    assert around.package_of(f"{tmp_path}/nobodys".encode()) == ""
