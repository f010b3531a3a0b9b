"""Every picture has a journey of the same name (DESIGN 3), and the code that it names exists."""

import ast
import os
import re

import pytest

from tests.house.source import modules
from tests.support import CHECKOUT, read

NOT_JOURNEYS = {"INTERNALS", "SECURITY"}
PICTURES = sorted(
    name.removesuffix(".md")
    for name in os.listdir(f"{CHECKOUT}/PIC")
    if name.endswith(".md") and name.removesuffix(".md") not in NOT_JOURNEYS
)
ALL = pytest.mark.parametrize("name", PICTURES)


def test_the_first_pictures_are_there_and_those_of_mail_that_leaves() -> None:
    assert {"local2local", "local2rem", "local2alias", "nullclient"} <= set(PICTURES)
    assert {"rem2rem", "alias2rem", "forwardback", "smarthost", "outsiderefused", "ipv6"} <= set(PICTURES)
    assert {"bounce", "doublebounce", "triplebounce"} <= set(PICTURES)


@ALL
def test_a_picture_has_its_journey(name: str) -> None:
    assert os.path.exists(f"{CHECKOUT}/tests/journeys/test_{name}.py")


@ALL
def test_what_a_picture_names_is_in_the_code(name: str) -> None:
    """A question ends with `file.py function`: both must exist."""
    text = read(f"{CHECKOUT}/PIC/{name}.md").decode()
    asked = re.findall(r"`([\w/]+\.py) ([\w.]+)`", text)
    assert asked, "no step names its function"
    known = {module.path.removeprefix("qmailpy/"): names_in(module.tree) for module in modules()}
    wrong = [f"{path} {word}" for path, word in asked if word.rpartition(".")[2] not in known.get(path, set())]
    assert not wrong, wrong


def names_in(tree: ast.Module) -> set[str]:
    return {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
