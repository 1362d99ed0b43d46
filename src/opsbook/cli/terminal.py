"""Printing for people: as wide as the terminal, in whole lines into a pipe, and never with spaces at the end."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.segment import Segment, Segments

PIPE_WIDTH = 200
"""A pipe has no width: whole lines are easier to search than wrapped ones."""


def screen() -> Console:
    """Standard output. `COLUMNS` is respected everywhere."""
    console = Console(highlight=False, emoji=False, markup=True)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console


def show(console: Console, view: RenderableType) -> None:
    """Print it without the spaces that fill a table up; who copies a line wants its words."""
    for line in console.render_lines(view, pad=False):
        console.print(Segments([*_trimmed(line), Segment.line()]), end="")


def _trimmed(line: Iterable[Segment]) -> list[Segment]:
    kept = list(line)
    while kept and not kept[-1].text.rstrip():
        kept.pop()
    if kept:
        text, style, control = kept[-1]
        kept[-1] = Segment(text.rstrip(), style, control)
    return kept
