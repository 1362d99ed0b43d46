"""Whole manuals of invented systems, in different styles and languages, against what a careful reader notes down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.manual.amounts import duration
from opsbook.manual.reading import as_json, read_manual

SAMPLES = Path(__file__).parent / "samples"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.md"))
KINDS = (
    "metrics",
    "objectives",
    "backups",
    "severities",
    "escalation",
    "maintenance_windows",
    "retention",
    "procedures",
    "checklists",
    "contacts",
)
TIMES = ("value", "retention", "response", "resolution", "within", "keep", "notice")
SAME = ("kind", "normal", "warning", "critical", "frequency", "day", "time", "destructive")


def load(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    expected = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    return expected, as_json(read_manual((SAMPLES / f"{name}.md").read_text(encoding="utf-8"), name))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_it_finds_every_item_on_its_line_and_no_other(name: str, kind: str) -> None:
    expected, read = load(name)
    assert sorted(item["line"] for item in read[kind]) == sorted(item["line"] for item in expected[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_it_reads_the_values_of_every_item(name: str, kind: str) -> None:
    expected, read = load(name)
    left = list(read[kind])
    for wanted in expected[kind]:
        item = next(each for each in left if each["line"] == wanted["line"] and each.get("kind") == wanted.get("kind"))
        left.remove(item)
        assert {field: item.get(field) for field in SAME if field in wanted} == {
            field: wanted[field] for field in SAME if field in wanted
        }
        for field in TIMES:
            if field in wanted:
                want, got = duration(wanted[field]), duration(item[field])
                assert want is not None
                assert got is not None
                assert (got.seconds, want.seconds and got.text) == (want.seconds, want.seconds and got.text)


@pytest.mark.parametrize("name", NAMES)
def test_it_names_the_system(name: str) -> None:
    expected, read = load(name)
    assert read["system"]["name"] == expected["system"]
