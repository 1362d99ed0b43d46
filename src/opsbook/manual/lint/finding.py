"""What lint says: a finding, its class and severity, and the edit that would mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class FaultClass(StrEnum):
    """What kind of harm a finding means."""

    WILL_NOT_RUN = "will-not-run"
    DESTROYS = "destroys-data"
    CONTRADICTION = "contradiction"
    DEPRECATED = "deprecated"
    INSECURE = "insecure"
    UNSAFE = "unsafe-practice"
    DANGLING = "dangling"
    ROT = "rot"


class Severity(StrEnum):
    """How sure and how grave: an error fails as written or does harm; a hint is advice."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"

    @property
    def rank(self) -> int:
        """0 for a hint, 2 for an error."""
        return ("hint", "warning", "error").index(self.value)


@dataclass(frozen=True)
class Edit:
    """Replace `line` from `column` to `end_column` (1-based, end excluded) by `text`."""

    line: int
    column: int
    end_column: int
    text: str


@dataclass(frozen=True)
class Fix:
    """What to do. `edits` mend it; `safe` where they change nothing but the fault."""

    text: str
    edits: tuple[Edit, ...] = ()
    safe: bool = False


@dataclass(frozen=True)
class Finding:
    """One fault of a manual with its place, reason and way out. `also` are further lines with the same fault."""

    rule: str
    name: str
    fault: FaultClass
    severity: Severity
    line: int
    column: int
    end_column: int
    message: str
    why: str
    fix: Fix | None = None
    also: tuple[int, ...] = ()
    path: str = ""

    def as_json(self) -> dict[str, Any]:
        """The finding as plain data, with the key `class`."""
        data = asdict(self)
        data["class"] = str(data.pop("fault"))
        data["severity"] = str(self.severity)
        data["also"] = list(self.also)
        if data["fix"]:
            data["fix"]["edits"] = list(data["fix"]["edits"])
        return data
