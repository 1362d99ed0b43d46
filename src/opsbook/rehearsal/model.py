"""What a rehearsal finds. Plain data: formats and pages are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from opsbook.connectors.change import Json


class Verdict(StrEnum):
    """What became of one procedure."""

    WORKS = "works"
    FAILS = "fails"
    NEEDS = "needs"
    BY_HAND = "by hand"
    """All of it is for persons: there is nothing that a rehearsal could prove."""
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Sample:
    """The value of a parameter, and where it came from: example, default, choice, component, found or derived."""

    name: str
    value: Json
    origin: str


@dataclass(frozen=True)
class Deviation:
    """Where what happened is not what the plan said. `grave`: another effect; else only another amount."""

    step: str
    sentence: str
    grave: bool


@dataclass(frozen=True)
class Undo:
    """What became of taking back what a run did."""

    possible: int = 0
    """Changes that have an undo."""
    undone: int = 0
    impossible: tuple[str, ...] = ()
    """`step: why there is no undo`."""
    failed: tuple[tuple[str, str], ...] = ()
    """Step and reason of an undo that there is and that did not work."""

    @property
    def sentence(self) -> str:
        """In a few words."""
        if self.failed:
            return f"{self.undone} of {self.possible} undone; {self.failed[0][0]}: {self.failed[0][1]}"
        told = f"{self.undone} undone" if self.possible else ""
        without = f"{len(self.impossible)} without undo" if self.impossible else ""
        return ", ".join(word for word in (told, without) if word) or "nothing to undo"


@dataclass(frozen=True)
class CheckSeen:
    """A check before a procedure, after it, and after its undo (empty where nothing was undone)."""

    check: str
    before: str
    after: str
    sentence: str
    restored: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one procedure."""

    procedure: str
    title: str
    risk: str
    verdict: Verdict
    seconds: float = 0.0
    number: int = 0
    """The number of the step that it failed at, from 1; 0 where it is none of them."""
    step: str = ""
    steps: int = 0
    message: str = ""
    run: str = ""
    revision: str = ""
    samples: tuple[Sample, ...] = ()
    checks: tuple[CheckSeen, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    undo: Undo = Undo()
    notes: tuple[str, ...] = ()
    """What the rehearsal answered in place of people, and what a reader should know."""
    went_on: tuple[str, ...] = ()
    """Steps that failed and that it goes on after."""

    @property
    def sentence(self) -> str:
        """`works`, `fails at step 3 (vacuum): …`, `needs …`."""
        if self.verdict is Verdict.FAILS:
            where = f" at step {self.number} ({self.step})" if self.number else f" {self.step}" if self.step else ""
            return f"fails{where}: {self.message}"
        if self.verdict is Verdict.WORKS and self.went_on:
            return f"works, but {', '.join(self.went_on)} failed (it goes on)"
        if self.verdict is Verdict.BY_HAND:
            return f"is done by hand: {self.message}"
        return f"{self.verdict} {self.message}".strip() if self.verdict is Verdict.NEEDS else str(self.verdict)


@dataclass(frozen=True)
class Silent:
    """A check or alert rule that fired in no rehearsal so far."""

    kind: str
    name: str
    about: str
    """Its component, or the file's group of the rule."""


@dataclass(frozen=True)
class Rehearsal:
    """All that one rehearsal found."""

    id: str
    system: str
    title: str
    environment: str
    book_revision: str
    at: datetime
    seconds: float
    outcomes: tuple[Outcome, ...]
    checks: int
    """How many checks the environment has."""
    alerts: int
    """How many alert rules were found."""
    silent: tuple[Silent, ...]
    rehearsals: int
    """How many rehearsals of this environment there were, this one included."""
    since: datetime
    """When the first of them was."""
    notes: tuple[str, ...] = ()

    def of(self, verdict: Verdict) -> list[Outcome]:
        """The outcomes of this verdict."""
        return [one for one in self.outcomes if one.verdict is verdict]

    @property
    def works(self) -> bool:
        """Whether every procedure was proven to work, besides those that are for persons alone."""
        return all(one.verdict in (Verdict.WORKS, Verdict.BY_HAND) for one in self.outcomes)

    @property
    def totals(self) -> str:
        """`15 work, 1 fails, 2 need something`."""
        counts = [(len(self.of(verdict)), *words) for verdict, words in COUNTED.items()]
        return ", ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts if n) or "no procedure"


COUNTED = {
    Verdict.WORKS: ("works", "work"),
    Verdict.FAILS: ("fails", "fail"),
    Verdict.NEEDS: ("needs something", "need something"),
    Verdict.BY_HAND: ("is done by hand", "are done by hand"),
    Verdict.LEFT_OUT: ("was left out", "were left out"),
}
