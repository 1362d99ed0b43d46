"""One procedure is compiled by its name, and no other: neither those beside it nor those that come with opsbook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.compile import compile_named
from opsbook.engine.mistakes import InvalidProcedure
from opsbook.engine.procedure import Procedure
from opsbook.errors import UsageError

BOOK = "opsbook: 1\nsystem: s\nenvironments: {test: {}}\ncomponents: {front: {kind: http, url: 'http://h'}}\n"
GOOD = "---\ntitle: {}\n---\n1. Look.\n\n   - [ ] look\n"
NAMES = ("good", "bad", "README", ".hidden")


@pytest.fixture
def system(tmp_path: Path) -> System:
    (tmp_path / "book.yaml").write_text(BOOK)
    (tmp_path / "procedures").mkdir()
    for name in NAMES:
        text = "---\ntitle: Wrong\n---\nno step\n" if name == "bad" else GOOD.format(name)
        (tmp_path / "procedures" / f"{name}.md").write_text(text)
    (tmp_path / "beside.md").write_text(GOOD.format("beside"))
    return in_environment(load_book(tmp_path / "book.yaml", catalogue()))


def never() -> Mapping[str, str]:
    raise AssertionError("what comes with opsbook is not asked for")


def compiled(system: System, name: str) -> Procedure:
    return compile_named(name, system, catalogue(), lambda: {"packaged": GOOD.format("ours"), "good": "not read"})


def test_it_reads_the_file_of_the_book_alone(system: System) -> None:
    assert compile_named("good", system, catalogue(), never).title == "good"


def test_it_takes_one_that_comes_with_opsbook(system: System) -> None:
    found = compiled(system, "packaged")
    assert (found.title, found.name, found.file) == ("ours", "packaged", "opsbook/packaged.md")


def test_it_tells_the_mistakes_of_that_one(system: System) -> None:
    with pytest.raises(InvalidProcedure, match="no step"):
        compile_named("bad", system, catalogue(), never)


@pytest.mark.parametrize("name", ["README", ".hidden", "../beside", "nothing", ""])
def test_it_knows_no_other_file(system: System, name: str) -> None:
    with pytest.raises(UsageError, match="there is no procedure named"):
        compiled(system, name)


def test_it_tells_the_nearest_name(system: System) -> None:
    with pytest.raises(UsageError) as told:
        compiled(system, "pakaged")
    assert "packaged" in told.value.hint
