"""Texts of procedures that come with opsbook, with the names of a book put in."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


def filled_from(room: str, template: str, **names: str) -> str:
    """A template of a room's `procedures/` with the names put in. Every placeholder has a name, every name a place."""
    text = _template(room, template)
    places = set(re.findall(r"@([a-z_]+)@", text))
    assert places == set(names), f"{template}: {places ^ set(names)}"
    return re.sub(r"@([a-z_]+)@", lambda found: names[found[1]], text)


@cache
def _template(room: str, name: str) -> str:
    return files(room).joinpath("procedures", f"{name}.md").read_text(encoding="utf-8")
