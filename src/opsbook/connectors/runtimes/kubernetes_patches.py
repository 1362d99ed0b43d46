"""Patches of objects: what one says, whether it holds already, what would take it back. Pure.

A patch is the part of an object that is wanted. Lists of named things (containers) are matched by name, as the API
server does. `None` means: absent.
"""

from __future__ import annotations

from typing import Any

from opsbook.connectors.change import Json

Patch = dict[str, Any]


def holds(wanted: Json, there: Json) -> bool:
    """Whether an object is already as a patch wants it."""
    if isinstance(wanted, dict):
        found = there if isinstance(there, dict) else {}
        return all(holds(value, found.get(key)) for key, value in wanted.items())
    if _named(wanted):
        by_name = _by_name(there)
        return all(one["name"] in by_name and holds(one, by_name[one["name"]]) for one in wanted)
    return bool(wanted == there)


def before(wanted: Json, there: Json) -> Json:
    """The patch that would bring back what this one changes."""
    if isinstance(wanted, dict):
        found = there if isinstance(there, dict) else {}
        return {key: before(value, found.get(key)) for key, value in wanted.items()}
    if _named(wanted):
        by_name = _by_name(there)
        # Only here a name says which one is meant; elsewhere (what an autoscaler holds) it is a value like others.
        return [{**before(one, by_name.get(one["name"])), "name": one["name"]} for one in wanted]
    return there


def without_absent(patch: Json) -> Json:
    """For server-side apply: what is not said is given up, and goes where nobody else wants it."""
    if isinstance(patch, dict):
        found = {key: without_absent(value) for key, value in patch.items() if value is not None}
        return {key: value for key, value in found.items() if value != {}}
    if _named(patch):
        return [without_absent(one) for one in patch]
    return patch


def _named(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "name" in one for one in value)


def _by_name(there: Json) -> dict[str, Any]:
    return (
        {one["name"]: one for one in there if isinstance(one, dict) and "name" in one}
        if isinstance(there, list)
        else {}
    )
