"""Modules out of a bundle behave as modules out of files."""

import json
import marshal
import subprocess
from pathlib import Path

from tests.support import CHECKOUT

MODULES = {
    "house": (True, "ADDRESS = 'here'\n"),
    "house.cellar": (False, "from house import ADDRESS\nfrom house.attic import DUST\nBOTH = [ADDRESS, DUST]\n"),
    "house.attic": (False, "DUST = 'much'\n"),
    "house.ruin": (False, "1 / 0\n"),
}
PROBE = """
import json, marshal, sys
sys.path.insert(0, sys.argv[1])
from qmailpy.system import bundled
modules = {}
for name, (package, text) in json.loads(sys.argv[3]).items():
    modules[name] = (package, marshal.dumps(compile(text, name, "exec")))
bundled.take_over(sys.argv[2], modules)
said = {}
"""


def ask(folder: Path, questions: str) -> dict[str, object]:
    """What `said` holds after these lines have run in a process that has the bundle."""
    text = PROBE + questions + "\nsys.stdout.write(json.dumps(said))\n"
    words = ["/usr/bin/python3", "-ISB", "-c", text, CHECKOUT, str(folder), json.dumps(MODULES)]
    done = subprocess.run(words, capture_output=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_every_form_of_import_finds_them(tmp_path: Path) -> None:
    said = ask(
        tmp_path,
        "import house.cellar\nsaid['whole'] = house.cellar.BOTH\n"
        "from house import attic, ADDRESS\nsaid['parts'] = [attic.DUST, ADDRESS]\n"
        "said['named'] = __import__('house.cellar', fromlist=('BOTH',)).BOTH\n"
        "said['once'] = sys.modules['house.cellar'] is house.cellar\n",
    )
    assert said == {"whole": ["here", "much"], "parts": ["much", "here"], "named": ["here", "much"], "once": True}


def test_they_know_where_they_stand(tmp_path: Path) -> None:
    said = ask(
        tmp_path, "import house.attic as a, house\nsaid.update(a=a.__file__, h=house.__file__, p=house.__path__)"
    )
    place = str(tmp_path)
    assert said == {"a": f"{place}/house/attic.py", "h": f"{place}/house/__init__.py", "p": [f"{place}/house"]}


def test_a_module_that_is_only_a_file_is_found_beside_them(tmp_path: Path) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "shed.py").write_text("from house.attic import DUST as TOOLS\n")
    said = ask(tmp_path, "from house import shed\nimport base64\nsaid.update(t=shed.TOOLS, b=base64.__name__)")
    assert said == {"t": "much", "b": "base64"}


def test_one_that_fails_to_load_is_not_left_half_loaded(tmp_path: Path) -> None:
    said = ask(
        tmp_path,
        "said['errors'] = []\nfor _ in range(2):\n"
        "    try:\n        import house.ruin\n"
        "    except ZeroDivisionError:\n        said['errors'].append('house.ruin' in sys.modules)\n",
    )
    assert said == {"errors": [False, False]}


def test_a_name_that_does_not_exist_is_an_import_error(tmp_path: Path) -> None:
    said = ask(
        tmp_path,
        "said['errors'] = []\n"
        "for line in ('from house import nobody', 'import house.nobody', 'from house.attic import x'):\n"
        "    try:\n        exec(line)\n    except ImportError:\n        said['errors'].append(line)\n",
    )
    assert len(said["errors"]) == 3  # type: ignore[arg-type]


def test_the_loader_is_one_code_object_that_needs_no_file() -> None:
    source = (Path(CHECKOUT) / "qmailpy/system/bundled.py").read_text()
    space: dict[str, object] = {}
    exec(marshal.loads(marshal.dumps(compile(source, "bundled", "exec"))), space)
    assert callable(space["take_over"])
