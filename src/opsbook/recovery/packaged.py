"""The procedures that come with opsbook: one for each backup, restore and drill of a book.

They are written out from templates (`procedures/*.md`, with `@name@` where a name of the book goes) for the very
components of the book, so that their locks and risks are known before anything runs. A book overrides one by a file of
its name: `opsbook procedures show NAME --source` prints the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files

from opsbook.book.system import System

Family = Callable[[System], Iterator[tuple[str, str]]]
"""Yields name and Markdown of each procedure of its kind that a book has use for."""

FAMILIES: tuple[Family, ...] = ()


def packaged_procedures(system: System) -> Mapping[str, str]:
    """Name of the procedure → its Markdown."""
    return {name: text for family in FAMILIES for name, text in family(system)}


def filled(template: str, **names: str) -> str:
    """A template of `procedures/` with the names put in. Every placeholder must have a name, every name a place."""
    text = _template(template)
    places = set(re.findall(r"@([a-z_]+)@", text))
    assert places == set(names), f"{template}: {places ^ set(names)}"
    return re.sub(r"@([a-z_]+)@", lambda found: names[found[1]], text)


@cache
def _template(name: str) -> str:
    return files("opsbook.recovery").joinpath("procedures", f"{name}.md").read_text(encoding="utf-8")
