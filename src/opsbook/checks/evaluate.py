"""Holding a reading against thresholds. Pure: facts and time come as arguments.

Invariants: a reading without a value is never ok; a value that meets `critical` is critical whatever `warning` says;
exactly one state results.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from opsbook.book.catalogue import ObservationSpec
from opsbook.book.checks import Check
from opsbook.book.threshold import Threshold
from opsbook.book.units import Dimension, show, show_duration
from opsbook.checks.wording import one_line
from opsbook.connectors.contract import Failure, Reading, Value


class State(StrEnum):
    """What a check says, best first."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"

    @property
    def bad(self) -> bool:
        """Whether a person must look: these make `opsbook check` exit with 1."""
        return self in (State.CRITICAL, State.UNKNOWN)


WORST_FIRST = (State.CRITICAL, State.UNKNOWN, State.WARNING, State.OK)


@dataclass(frozen=True)
class Result:
    """A check at one moment."""

    check: Check
    spec: ObservationSpec
    state: State
    value: Value
    sentence: str
    at: datetime
    seconds: float = 0.0
    """How long reading it took."""
    threshold: Threshold | None = None
    """The threshold that it met."""
    warning: Threshold | None = None
    critical: Threshold | None = None
    detail: Any = None
    failure: Failure | None = None
    refused: bool = False
    """Whether it could not be read because the credential is not taken."""
    cause: str | None = None
    """The id of the check that explains this one."""

    @property
    def shown(self) -> str:
        """The value with its unit, as people read it."""
        return one_line(show(self.value, self.spec.dimension))


def judge(check: Check, spec: ObservationSpec, reading: Reading, at: datetime, baseline: float | None = None) -> Result:
    """The state of a check given what was read. `baseline` is the median of the threshold's own past, if known."""
    limits = (check.warning, check.critical)
    # A check that gives any threshold replaces the observation's own; one that gives none takes them.
    warning, critical = limits if any(limits) else (spec.warning, spec.critical)
    blank = Result(check, spec, State.UNKNOWN, reading.value, "", at, warning=warning, critical=critical)
    blank = replace(blank, detail=reading.detail, failure=reading.failure, refused=reading.credential)
    if reading.failure is not None or reading.value is None or reading.value != reading.value:
        sentence = _said(check, reading) or ("no value" if reading.value is None else "the value is not a number")
        if spec.vital and reading.failure in (Failure.UNREACHABLE, Failure.TIMEOUT):
            # What tells that a component is there has found that it is not: that is a finding, not a gap.
            down = False if spec.dimension is Dimension.STATE else None
            return replace(blank, state=State.CRITICAL, value=down, sentence=f"down: {sentence}")
        return replace(blank, state=State(check.unknown), value=None, sentence=sentence)
    learning = []
    for state, threshold in ((State.CRITICAL, critical), (State.WARNING, warning)):
        met = threshold.met_by(reading.value, baseline) if threshold else False
        if threshold and met is None:
            learning.append(threshold)
        elif threshold and met:
            sentence = _sentence(spec, reading, threshold, state, baseline, _said(check, reading))
            return replace(blank, state=state, threshold=threshold, sentence=sentence)
    shown, said = one_line(show(reading.value, spec.dimension)), _said(check, reading)
    if said:
        # Of a state the message tells all: "up" says no more than "PostgreSQL 17 answers".
        shown = said if spec.dimension is Dimension.STATE else f"{shown}; {said}"
    if learning:
        shown += f" (its baseline of {show_duration(learning[0].baseline or 0)} is not known yet)"
    return replace(blank, state=State.OK, sentence=shown)


def _said(check: Check, reading: Reading) -> str:
    """The message without the component's name, which stands beside it wherever it is shown."""
    return one_line(reading.message).removeprefix(f"{check.of}: ")


def _sentence(
    spec: ObservationSpec, reading: Reading, threshold: Threshold, state: State, baseline: float | None, said: str
) -> str:
    text = f"{one_line(show(reading.value, spec.dimension))} is {state}: {threshold}"
    if threshold.baseline is not None and baseline is not None:
        text += f", which is usually {show(baseline, spec.dimension)}"
    return f"{text}; {said}" if said else text
