"""The page on procedures tells the truth: its example compiles, and it names all that there is."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.procedures.conftest import Compile

from opsbook.book.catalogue import Risk
from opsbook.engine.attributes import ATTRIBUTES
from opsbook.engine.expressions import ENVIRONMENT
from opsbook.engine.front_matter import KEYS
from opsbook.engine.parameters import TYPES
from opsbook.engine.procedure import StepKind
from opsbook.engine.steps import RESULT_NAMES

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "procedures.md").read_text()


def test_its_example_compiles(compiled: Compile) -> None:
    (example,) = re.findall(r"^````markdown\n(.*?)^````$", PAGE, re.DOTALL | re.MULTILINE)
    procedure = compiled(example, "end-hanging-queries.md")
    assert [step.id for step in procedure.steps] == [
        "look-who-hangs", "remove-what-nobody-reads-any-more", "note", "tell-the-others",
        "see-that-the-service-is-well", "see-that-the-service-is-well-2", "the-owner-of-knows",
    ]  # fmt: skip
    assert procedure.risk is Risk.DESTRUCTIVE


def test_its_mistake_is_what_is_shown(wrong: Compile) -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    told = wrong("---\ntitle: x\n---\n" + "\n" * 10 + "   ```sql on=databse\n   SELECT 1\n   ```\n")
    assert shown.split(": ", 1)[1].strip() in str(told)


def test_it_names_every_attribute_key_type_filter_and_result() -> None:
    for word in [*ATTRIBUTES, *KEYS, *TYPES, *(kind.value for kind in StepKind if kind is not StepKind.PERSON)]:
        assert f"`{word}`" in PAGE, word
    for name in ENVIRONMENT.filters:
        assert re.search(rf"\b{name}\b", PAGE), name
    for kind, names in RESULT_NAMES.items():
        if kind is not StepKind.OP:
            for name in names:
                assert f"`{name}`" in PAGE, name
