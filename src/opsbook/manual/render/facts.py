"""What a manual says besides its book: procedures as they were compiled, what ran, what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from opsbook.book.catalogue import Risk


@dataclass(frozen=True)
class ParameterFact:
    """A parameter of a procedure; `default` and `example` as text."""

    name: str
    type: str
    required: bool = False
    default: str | None = None
    example: str | None = None
    choices: tuple[str, ...] = ()
    doc: str = ""


@dataclass(frozen=True)
class StepFact:
    """A step of a procedure. `line` is that of its opening fence, or of its first task, in the procedure's file."""

    number: int
    line: int
    kind: str
    risk: Risk
    title: str = ""
    remarks: tuple[str, ...] = ()
    """What holds for it: on what it works, when it is left out, what is expected, what happens where it fails."""


@dataclass(frozen=True)
class LastRun:
    """The newest run, or the newest rehearsal."""

    at: datetime
    outcome: str
    good: bool
    environment: str
    message: str = ""


@dataclass(frozen=True)
class ProcedureFact:
    """A procedure as it was compiled, and its Markdown with front matter."""

    name: str
    title: str
    risk: Risk
    text: str
    steps: tuple[StepFact, ...]
    parameters: tuple[ParameterFact, ...] = ()
    owner: str = ""
    objective: str = ""
    lock: tuple[str, ...] = ()
    last_run: LastRun | None = None
    last_rehearsal: LastRun | None = None
    rehearsed_as_is: bool = True
    """Whether the file is the one that was rehearsed last."""


@dataclass(frozen=True)
class Measurement:
    """What a promise was last measured at."""

    seconds: float
    at: datetime
    evidence: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything that is handed in. `measured` is by objective and kind, as `database.rto`."""

    procedures: tuple[ProcedureFact, ...] = ()
    measured: Mapping[str, Measurement] = field(default_factory=dict)
    now: datetime | None = None
    """Against which a measurement is too old; the newest fact where left out."""
    revision: str = ""
    """Digest of the book's file."""
