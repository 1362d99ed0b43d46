"""What a room offers is found by its name, with an index that is right, wrong or absent."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from opsbook.connectors import offered
from opsbook.connectors.offered import Offered, index_of

ROOM = {
    "__init__.py": "from opsbook.connectors.offered import Offered\nTHINGS = Offered('things', __name__)\n",
    "first.py": "from {room} import THINGS\nTHINGS.add('one', 1)\nTHINGS.add('uno', 1)\n",
    "second.py": "from {room} import THINGS\nTHINGS.add('two', 2)\n",
}


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = "room_" + re.sub(r"\W", "_", request.node.name)
    (tmp_path / name).mkdir()
    for file, text in ROOM.items():
        (tmp_path / name / file).write_text(text.replace("{room}", name))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def things(room: str) -> Offered[int]:
    return __import__(room).THINGS


def indexed(monkeypatch: pytest.MonkeyPatch, modules: dict[str, str]) -> None:
    monkeypatch.setattr(offered, "_modules", lambda kind: modules)


def test_it_imports_the_module_of_a_name_alone(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    indexed(monkeypatch, {"one": f"{room}.first", "two": f"{room}.second"})
    assert things(room)["one"] == 1
    assert f"{room}.second" not in sys.modules
    assert not things(room).has("two") and things(room)["two"] == 2


@pytest.mark.parametrize("wrong", ["gone", "second", ""])
def test_it_finds_a_name_that_the_index_has_wrongly(room: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    indexed(monkeypatch, {"one": f"{room}.{wrong}"} if wrong else {})
    assert things(room)["one"] == 1


def test_it_knows_what_is_not_there_and_goes_through_all(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    indexed(monkeypatch, {"three": f"{room}.gone"})
    assert "three" not in things(room) and things(room).get("three") is None
    assert list(things(room)) == ["one", "two", "uno"] and len(things(room)) == 3


def test_it_says_which_module_lacks_what_it_needs(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(str(__import__(room).__file__)).parent
    (folder / "third.py").write_text("import not_there_at_all\n")
    indexed(monkeypatch, {"three": f"{room}.third"})
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        things(room)["three"]


def test_the_index_tells_the_module_in_which_a_name_is_written(room: str) -> None:
    assert index_of([things(room)]) == (
        '{\n "things": {\n'
        f'  "{room}.first": [\n   "one",\n   "uno"\n  ],\n'
        f'  "{room}.second": [\n   "two"\n  ]\n'
        " }\n}\n"
    )
