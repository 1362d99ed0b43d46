"""The progress of a harvest on a terminal, or a line every few seconds where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from src.harvester.runs import Figures

BAR = 32
LINE_EVERY_SECONDS = 5.0


def describe(figures: Figures) -> str:
    """`120/246 records, 131 pages, 0 errors`, with what else there is to say."""
    extra = f", {figures.not_modified} unchanged" if figures.not_modified else ""
    extra += f", {figures.throttled} × told to wait" if figures.throttled else ""
    return f"{figures.items}/{figures.expected} records, {figures.requests} pages, {figures.errors} errors{extra}"


def printer(quiet: bool) -> Callable[[Figures], None]:
    """A function that shows figures: a bar that redraws itself, lines for a log, or nothing."""
    if quiet:
        return lambda _figures: None
    if sys.stderr.isatty():
        return draw_bar
    last = [0.0]

    def line(figures: Figures) -> None:
        if time.monotonic() - last[0] >= LINE_EVERY_SECONDS:
            last[0] = time.monotonic()
            print(describe(figures), file=sys.stderr, flush=True)

    return line


def draw_bar(figures: Figures) -> None:
    share = figures.items / figures.expected if figures.expected else 0.0
    full = min(BAR, round(share * BAR))
    print(f"\r\x1b[K[{'█' * full}{'·' * (BAR - full)}] {describe(figures)}", end="", file=sys.stderr, flush=True)
