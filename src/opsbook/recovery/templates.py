"""Texts of `procedures/`, with the names of a book put in."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


def filled(template: str, **names: str) -> str:
    """A template of `procedures/` with the names put in. Every placeholder must have a name, every name a place."""
    text = _template(template)
    places = set(re.findall(r"@([a-z_]+)@", text))
    assert places == set(names), f"{template}: {places ^ set(names)}"
    return re.sub(r"@([a-z_]+)@", lambda found: names[found[1]], text)


@cache
def _template(name: str) -> str:
    return files("opsbook.recovery").joinpath("procedures", f"{name}.md").read_text(encoding="utf-8")
