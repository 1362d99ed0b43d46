"""What a command of a manual becomes: a step of a procedure, with what was mended and what could not be done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Form(StrEnum):
    """The form of a step in the book."""

    OP = "op"
    CHECK = "check"
    SQL = "sql"
    HTTP = "http"
    PROMQL = "promql"
    SH = "sh"
    PERSON = "person"

    @property
    def lifted(self) -> bool:
        """Whether opsbook knows what the step does."""
        return self not in (Form.SH, Form.PERSON)


class Why(StrEnum):
    """Why a command stays as it is. The order is that of the report."""

    MISSING = "the operation is not there yet"
    ELSEWHERE = "it addresses what the book has no component for"
    SCRIPT = "it is a script of several commands"
    PROGRAM = "a program of the system's own, or one that opsbook does not know"
    OUTPUT = "what it prints goes on to a file or another program"
    OPEN = "a value is not given, or is computed by the shell"
    HARM = "what may be destroyed is for a person to say"
    INTERACTIVE = "it asks a person, or never ends"
    UNFIT = "the book's form of it does not compile"
    LOOKS = "it only looks, and no observation says the same"
    LITERAL = "it carries a secret that the manual spells out"


@dataclass(frozen=True)
class Step:
    """One step to be written.

    `body` is the fence's content: an operation's name and parameters, ids of checks, or text. `source` is what the
    manual has. `mended` are the faults that the form no longer has; `why` and `note` tell why it stays a shell step.
    `needs` names an operation that would mean it, were it registered.
    """

    form: Form
    body: Any
    line: int
    source: str
    component: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    title: str = ""
    mended: tuple[str, ...] = ()
    why: Why | None = None
    note: str = ""
    needs: str = ""
    commands: int = 1
    end_line: int = 0
    fallback: Step | None = None
    joins: bool = False
    """It only goes on with what the step before does: the commands of both are one step."""
    risk: str = ""
    """What the fence says of its risk; empty where it is the usual one of its form."""

    def having(self, **changes: Any) -> Step:
        """The step with some fields changed."""
        return replace(self, **changes)


@dataclass
class Parameter:
    """A value that varies, as the front matter declares it."""

    name: str
    type: str = "text"
    default: Any = None
    doc: str = ""
    example: Any = None
    """What a rehearsal gives it, and what shows people what is meant."""


RESERVED = frozenset(
    [
        "rows",
        "value",
        "records",
        "columns",
        "series",
        "checks",
        "stdout",
        "exit",
        "status",
        "json",
        "body",
        "headers",
        "result",
        "saved",
        "facts",
        "environment",
        "system",
        "run",
        "true",
        "false",
        "none",
        "not",
        "and",
        "or",
        "in",
        "is",
        "if",
        "else",
    ]
)


@dataclass
class Parameters:
    """The parameters of one procedure. A name is given once; the same source is the same parameter."""

    found: dict[str, Parameter] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def take(self, source: str, wanted: str, type_: str = "text", doc: str = "", example: Any = None) -> str:
        """The name under which the procedure reads the value that the manual writes as `source`."""
        if source in self.sources:
            name = self.sources[source]
            if self.found[name].type == "text" and type_ != "text":
                self.found[name].type = type_
            return name
        name, n = _name(wanted), 2
        while name in self.found:
            name, n = f"{_name(wanted)}_{n}", n + 1
        self.found[name] = Parameter(name, type_, None, doc, example)
        self.sources[source] = name
        return name

    def used_in(self, text: str) -> list[Parameter]:
        """Those that a text reads, in their order."""
        import re

        return [one for name, one in self.found.items() if re.search(rf"\{{\{{[^}}]*\b{name}\b[^}}]*\}}\}}", text)]


def _name(wanted: str) -> str:
    import re

    name = re.sub(r"[^a-z0-9]+", "_", wanted.lower()).strip("_")
    if not name or not name[0].isalpha():
        name = f"value_{name}".rstrip("_")
    return f"the_{name}" if name in RESERVED else name
