"""What people read: no line is too long for a terminal, and the README says first what matters first."""

import ast
import os
import re

import pytest

from qmailpy.disk.control_kinds import KINDS
from qmailpy.programs.table import PROGRAMS
from qmailpy.rules.control_sentences import CONTROLS, OURS
from tests.house.source import modules
from tests.support import CHECKOUT, read

FOLDERS = ("alias", "control/samples")
TEXTS = [
    *("README.md", "INSTALL.md", "CONTRIBUTING.md"),
    *(f"{folder}/{name}" for folder in FOLDERS for name in sorted(os.listdir(f"{CHECKOUT}/{folder}"))),
]
WIDTH = 120
SCREEN = 45  # lines


def lines_of(text: str) -> list[str]:
    return read(f"{CHECKOUT}/{text}").decode().split("\n")


@pytest.mark.parametrize("text", TEXTS)
def test_no_line_is_longer_than_a_terminal_is_wide(text: str) -> None:
    wrong = [f"{text}:{number}: {len(line)}" for number, line in enumerate(lines_of(text), 1) if len(line) > WIDTH]
    assert not wrong, wrong


def test_the_first_screen_of_the_readme_holds_what_matters() -> None:
    lines = lines_of("README.md")
    screen = "\n".join(lines[:SCREEN])
    for words in ("make run", "make test", "make setup check", "INSTALL.md", "## What is not there yet"):
        assert words in screen, words
    table = next(number for number, line in enumerate(lines) if line.startswith("| program |"))
    assert [line for line in lines[:SCREEN] if line.startswith("## ")][-1] in (
        "## Programs",
        "## What is not there yet",
    )
    assert lines.index("## Programs") < table


def test_the_table_of_programs_is_the_table_of_programs() -> None:
    rows = re.findall(r"^\| ([\w-]+) \| ", read(f"{CHECKOUT}/README.md").decode(), re.MULTILINE)
    assert sorted(rows) == sorted([*PROGRAMS, "program"])


def test_every_link_in_the_installation_guide_leads_somewhere() -> None:
    text = read(f"{CHECKOUT}/INSTALL.md").decode()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    wanted = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert wanted <= anchors, wanted - anchors
    for path in re.findall(r"\]\(([^)#]+)\)", text):
        assert os.path.exists(f"{CHECKOUT}/{path}"), path


def test_every_control_file_that_is_read_is_known_shown_and_explained() -> None:
    """A name that a program reads has a kind, a sentence of qmail-showctl, a paragraph in the manual, and a sample."""
    readers = {"line", "line_or_me", "integer", "listing", "colon_map"}
    read_by_name = {
        node.args[1].value.encode()
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr in readers) == ("control", True)
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
        and isinstance(node.args[1].value, str)
    }
    assert read_by_name
    assert read_by_name <= set(KINDS), read_by_name - set(KINDS)
    assert {row[0] for row in (*CONTROLS, *OURS)} == set(KINDS)
    manual = read(f"{CHECKOUT}/man/man5/qmail-control.5")
    wrong = [name for name in KINDS if not re.search(rb"^\.I[RB]? (.+ )?%s\b" % name, manual, re.MULTILINE)]
    assert not wrong, wrong
    samples = {name.encode() for name in os.listdir(f"{CHECKOUT}/control/samples")}
    assert set(KINDS) <= samples, set(KINDS) - samples
