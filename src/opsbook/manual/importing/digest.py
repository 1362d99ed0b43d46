"""Each written file carries the digest of what was generated, so that an import never overwrites a team's edits."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

_MARK = re.compile(r"(?m)^(?:#|<!--) opsbook import sha256:(?P<digest>[0-9a-f]{64})[^\n]*\n?")


class Fate(StrEnum):
    """What becomes of a file."""

    NEW = "written"
    SAME = "unchanged"
    RENEWED = "renewed"
    KEPT = "kept, edited by you"
    DIFFERS = "kept, edited by you; the manual changed too"
    FOREIGN = "kept, not made by an import"


@dataclass(frozen=True)
class Outcome:
    """A file, its fate, and the difference to what would be generated where it is kept."""

    path: str
    fate: Fate
    diff: str = ""


def marked(text: str, place: str, comment: str) -> str:
    """The text with the line that tells its digest and its source."""
    told = f" from {place}" if place else ""
    end = " -->" if comment == "<!--" else ""
    line = f"{comment} opsbook import sha256:{_digest(text)}{told}{end}\n"
    return f"{text.rstrip()}\n\n{line}" if comment == "<!--" else f"{line}{text}"


def _digest(text: str) -> str:
    return hashlib.sha256(_bare(text).encode()).hexdigest()


def _bare(text: str) -> str:
    """The text without its mark, as both sides of a comparison see it."""
    return "\n".join(line.rstrip() for line in _MARK.sub("", text.replace("\r\n", "\n")).strip().split("\n"))


def fate_of(path: str, there: str | None, new: str) -> Outcome:
    """What an import does with a file that may be there already."""
    if there is None:
        return Outcome(path, Fate.NEW)
    if _bare(there) == _bare(new):
        return Outcome(path, Fate.SAME)
    mark = _MARK.search(there)
    diff = "".join(difflib.unified_diff(_lines(there), _lines(new), f"{path} (yours)", f"{path} (the manual's)"))
    if mark is None:
        return Outcome(path, Fate.FOREIGN, diff)
    if mark["digest"] == _digest(there):
        return Outcome(path, Fate.RENEWED)
    generated_as_before = mark["digest"] == _digest(new)
    return Outcome(path, Fate.KEPT if generated_as_before else Fate.DIFFERS, diff)


def _lines(text: str) -> list[str]:
    return [line + "\n" for line in _bare(text).split("\n")]
