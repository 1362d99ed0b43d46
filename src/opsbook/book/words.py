"""The nearest valid word: what a person probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 12


def nearest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint that names the nearest valid word; where none is near, `otherwise` or the words that there are."""
    names = sorted(set(known))
    folded = {name.casefold(): name for name in reversed(names)}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    parts = [name for name in names if _last(name) == _last(word.casefold())]
    if len(parts) == 1:
        return f"did you mean {parts[0]!r}?"
    if otherwise:
        return otherwise
    if not names:
        return "there is none to choose from"
    shown = names
    if "." in word and len(names) > MOST:
        family = word.partition(".")[0]
        shown = [name for name in names if name.partition(".")[0] == family]
        if not shown:
            return "known begin with: " + ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
    return "known: " + ", ".join(shown[:MOST]) + (" …" if len(shown) > MOST else "")


def _last(name: str) -> str:
    """The part that tells most: `p95` of `http.p95`, `Berlin` of `Europe/Berlin`."""
    return name.casefold().replace("/", ".").rpartition(".")[2]
