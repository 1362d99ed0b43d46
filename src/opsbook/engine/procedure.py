"""A compiled procedure: typed steps, ready to be planned. Plain data, and the recorded input of every run of it.

Compiling a book's Markdown makes these; running never looks at it again, so that editing a book does not touch
a run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Json


class StepKind(StrEnum):
    """The fences of a procedure, and a person's act."""

    OP = "op"
    SH = "sh"
    SQL = "sql"
    PROMQL = "promql"
    HTTP = "http"
    CHECK = "check"
    PERSON = "person"


class OnFailure(StrEnum):
    """What a failed step does to its run."""

    STOP = "stop"
    CONTINUE = "continue"
    UNDO = "undo"


@dataclass(frozen=True)
class Parameter:
    """A typed parameter of a procedure."""

    name: str
    type: str
    """text, int, float, bool, duration, size, ratio, choice, component, secret."""
    default: Json = None
    required: bool = False
    choices: tuple[str, ...] = ()
    doc: str = ""
    example: Json = None
    """A value that rehearsals use in place of the default, and that shows people what is meant."""
    min: Json = None
    """Of a number, duration, size or ratio, in the form of its values; None: no bound but the type's own."""
    max: Json = None
    pattern: str = ""
    """What a text as a whole must match; empty: anything."""


@dataclass(frozen=True)
class Step:
    """One step. Strings of `body` may be templates; `needs` names the saved results that they read."""

    id: str
    kind: StepKind
    title: str
    """The prose before the fence, its first sentence."""
    line: int
    body: dict[str, Json]
    """op: operation, parameters · sh: script · sql: statement, write · promql: query · http: method, url, headers, body
    · check: checks · person: text, items."""
    risk: Risk
    idempotent: bool
    on: str = ""
    """The component it addresses."""
    timeout: float = 300.0
    timeout_left_out: bool = False
    """Whether its fence says none: an operation that promises to end by itself may take longer."""
    retry: int = 0
    when: str = ""
    save: str = ""
    expect: str = ""
    undo: dict[str, Json] | None = None
    env: tuple[str, ...] = ()
    workdir: str = ""
    sensitive: bool = False
    on_failure: OnFailure = OnFailure.STOP
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Procedure:
    """A whole procedure, compiled."""

    name: str
    title: str
    risk: Risk
    """As declared; never lower than that of any step."""
    steps: tuple[Step, ...]
    parameters: tuple[Parameter, ...] = ()
    lock: tuple[str, ...] = ()
    """Resource paths below the system: `database`, or empty for the whole system."""
    owner: str = ""
    objective: str = ""
    prose: str = ""
    file: str = ""
    revision: str = ""
    """A digest of the file's text."""


@dataclass(frozen=True)
class PlannedStep:
    """What a step would do now."""

    step: str
    risk: Risk
    changes: tuple[Json, ...] = ()
    """Changes as plain data (`plan.change_as_json`)."""
    deferred: str = ""
    """Why it can only be planned when it is reached; empty where it is planned."""
    skipped: str = ""
    """Why `when` leaves it out; empty where it runs."""
    facts: Json = None
    """What was read while planning. Shown, never in the digest."""
    follows: str = ""
    """The earlier step that changes the same component: guards and inverses of this one are planned anew when it is
    reached, and only its effects are compared."""


@dataclass(frozen=True)
class Plan:
    """The changes that a procedure would make now. Its digest is what an approval approves."""

    procedure: Procedure
    parameters: dict[str, Any]
    environment: str
    book_revision: str
    steps: tuple[PlannedStep, ...]
    digest: str
    step_digests: dict[str, str] = field(default_factory=dict)
