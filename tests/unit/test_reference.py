"""The pages of docs/reference are what the code says now; every link between pages leads somewhere."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]+)(?:#[^)\s]*)?\)")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/README.md")])


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE = _reference()
REFERENCE: dict = MADE.PAGES


@pytest.mark.parametrize("page", REFERENCE)
def test_a_page_made_of_the_code_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8") == REFERENCE[page](), "run `make docs`"


def test_the_index_names_the_module_of_everything_that_is_offered() -> None:
    assert MADE.INDEX.read_text(encoding="utf-8") == MADE.offered(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert [to for to in LINK.findall(text) if not (page.parent / to).exists()] == []


def test_every_dependency_has_a_row_that_says_why() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        one for name, many in project["optional-dependencies"].items() if name not in ("dev", "all") for one in many
    ]
    wanted = {re.match(r"[\w.-]+", one)[0].lower() for one in [*project["dependencies"], *extras]}
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = {word.lower() for row in rows for word in re.findall(r"[\w.-]+", row.partition("(")[0])}
    assert wanted - named == set()


def test_every_pinned_package_comes_from_wherever_the_user_gets_packages() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+!-]+", line)] == []
