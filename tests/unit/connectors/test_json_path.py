"""Paths into JSON answers."""

from __future__ import annotations

from typing import Any

import pytest

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.json_path import JsonPath

DOCUMENT: Any = {"data": {"items": [{"age": 1}, {"age": 2}], "a.b": 3}, "n": None}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.items[0].age", 1),
        ("data.items[-1].age", 2),
        ('data."a.b"', 3),
        ("n", None),
        ("data.items", [{"age": 1}, {"age": 2}]),
    ],
)
def test_a_path_leads_to_its_value(path: str, value: Any) -> None:
    assert JsonPath.parse(path).of(DOCUMENT) == value


@pytest.mark.parametrize("path", ["data.nope", "data.items[7]", "data[0]", "n.x", "data.items.age"])
def test_a_path_that_leads_nowhere_is_told(path: str) -> None:
    with pytest.raises(ReadFailed, match="there is no"):
        JsonPath.parse(path).of(DOCUMENT)


@pytest.mark.parametrize("path", ["", "a[", "a[x]", 'a."', "[]"])
def test_what_is_no_path_is_told(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        JsonPath.parse(path)
