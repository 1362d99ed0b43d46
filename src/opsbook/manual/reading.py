"""Reading a manual whole."""

from __future__ import annotations

import dataclasses
from typing import Any


def item_json(item: Any) -> dict[str, Any]:
    """An item as plain data: empty fields left out, tuples as lists."""
    found: dict[str, Any] = {}
    for each in dataclasses.fields(item):
        value = _plain(getattr(item, each.name))
        if value not in ("", None, [], {}) or isinstance(value, bool):
            found[each.name.rstrip("_")] = value
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return item_json(value)
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return value
