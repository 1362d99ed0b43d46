"""What lifting one procedure knows: the catalogue, the components, the checks of the book, the parameters so far."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from opsbook.book.catalogue import Catalogue
from opsbook.book.units import write_duration
from opsbook.manual.lift.backups import Backups
from opsbook.manual.lift.dates import example_of
from opsbook.manual.lift.inventory import Inventory, Part, unique
from opsbook.manual.lift.model import Form, Parameters, Step, Why
from opsbook.manual.shell import Command, Word
from opsbook.manual.shell_tree import PLACEHOLDER

_EXPANSION = re.compile(r"\$\{?(\w+)\}?")
_DATE = re.compile(r"\$\(\s*date\b[^)]*\)|`\s*date\b[^`]*`")


@dataclass
class Checks:
    """The checks of the book to be. A command that looks at what an observation tells asks for one."""

    catalogue: Catalogue
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def of(self, observe: str, part: str) -> str | None:
        """The id of the check of this observation and component, if the book has one."""
        return next((i for i, one in self.found.items() if (one["observe"], one["of"]) == (observe, part)), None)

    def want(self, observe: str, part: Part, source: str, with_: Mapping[str, object] | None = None) -> str | None:
        """A check for this look. None where no threshold is known: one is never invented."""
        spec = self.catalogue.observations.get(observe)
        if spec is None or not readable(spec.kinds, part):
            return None
        known = self.of(observe, part.name)
        if known is not None and (not with_ or self.found[known].get("with") == dict(with_)):
            return known
        if spec.warning is None and spec.critical is None:
            return known
        return self.add(f"{part.name}-{observe.partition('.')[2].replace('_', '-')}", observe, part.name, source, with_)

    def add(self, wanted: str, observe: str, part: str, source: str, with_: Mapping[str, object] | None = None) -> str:
        """A new check without thresholds of its own."""
        identity = unique(wanted, self.found)
        self.found[identity] = {
            "id": identity,
            "observe": observe,
            "of": part,
            **({"with": dict(with_)} if with_ else {}),
        }
        self.sources[identity] = source
        return identity


def readable(kinds: Sequence[str], part: Part) -> bool:
    """Whether an observation or operation of these kinds fits a component."""
    if part.kind == "workload" and not part.workload:
        return False
    return part.kind in kinds or "any" in kinds or ("workload" in kinds and bool(part.workload))


@dataclass
class Context:
    """One procedure in the making."""

    catalogue: Catalogue
    inventory: Inventory
    checks: Checks
    manual: str
    parameters: Parameters = field(default_factory=Parameters)
    changed: bool = False
    """Whether a step before changes something: then a check that is bad ends the run."""
    stopped: set[str] = field(default_factory=set)
    scaled: set[str] = field(default_factory=set)
    """Components whose number this procedure changes: the book's number no longer tells how many should be ready."""
    backups: Backups = field(default_factory=Backups)
    """Those of the whole book."""
    dumped: dict[str, str] = field(default_factory=dict)
    """Files into which this procedure dumps → the backup of the book that means it."""
    setting: dict[str, str] = field(default_factory=dict)
    """Shell variables that were set before → the text of their value, expansions as written."""

    def place(self, line: int) -> str:
        """Where something stands, for people."""
        return f"{self.manual}:{line}"


@dataclass(frozen=True)
class Stay:
    """Why a command stays a shell step. `risk` where it is known to be less than destructive."""

    why: Why
    note: str = ""
    needs: str = ""
    component: str = ""


Lifted = list[Step] | Stay | None


@dataclass(frozen=True)
class Use:
    """One command in its place: inside a component's workload or on the host, and what follows it in its pipeline."""

    command: Command
    context: Context
    line: int
    source: str
    inside: Part | None = None
    behind: tuple[Command, ...] = ()
    redirected: bool = False
    before: tuple[Command, ...] = ()
    written: tuple[str, ...] = ()
    """Files that what it prints is written into."""

    @property
    def inventory(self) -> Inventory:
        return self.context.inventory

    def of_kind(self, *kinds: str) -> Part | None:
        """The component that is meant: the one it runs in where that is of this kind, else the only sensible one."""
        return self.inside if self.inside is not None and self.inside.kind in kinds else self.inventory.one(*kinds)

    # Steps

    def op(self, name: str, part: Part, mended: str = "", /, **parameters: Any) -> list[Step] | Stay:
        """An operation, where the catalogue has it."""
        if name not in self.context.catalogue.operations:
            return Stay(Why.MISSING, f"`{name}` would mean it", name, part.name)
        spec = self.context.catalogue.operations[name]
        if not readable(spec.kinds, part):
            return Stay(Why.OPEN, f"{part.name} has no workload in the runtime that the manual names", "", part.name)
        self.context.changed = self.context.changed or spec.risk.rank > 0
        body = {name: {"of": part.name, **{key: value for key, value in parameters.items() if value is not None}}}
        return [self.step(Form.OP, body, part, mended)]

    def check(self, observe: str, *parts: Part, with_: Mapping[str, object] | None = None) -> list[Step] | Stay:
        """Checks of the book that tell what the command shows."""
        place = self.context.place(self.line)
        if observe == "workload.missing" and self.context.scaled:
            own = [self.context.checks.want(self._instances(part), part, place) for part in parts]
            return self._looked([one for one in own if one], parts)
        ids = [self.context.checks.want(observe, part, place, with_) for part in parts]
        return self._looked([one for one in ids if one], parts, observe)

    def _instances(self, part: Part) -> str:
        return "workload.up" if part.name in self.context.scaled else "workload.missing"

    def _looked(self, ids: Sequence[str], parts: Sequence[Part], observe: str = "workload.up") -> list[Step] | Stay:
        known = list(dict.fromkeys(ids))
        component = parts[0].name if parts else ""
        if not known:
            return Stay(Why.LOOKS, f"`{observe}` tells it, but the manual names no threshold", "", component)
        step = self.step(Form.CHECK, known, parts[0])
        return [step if self.context.changed else step.having(attributes={"on_failure": "continue"})]

    def step(self, form: Form, body: Any, part: Part | None, mended: str = "", **more: Any) -> Step:
        """A step of this command."""
        return Step(
            form, body, self.line, self.source, part.name if part else "", mended=(mended,) if mended else (), **more
        )

    # Values

    def value(self, word: Word | None, wanted: str = "", type_: str = "text", doc: str = "") -> str | None:
        """What a word says, parameters as templates; None where the shell computes it."""
        return (
            None if word is None else self.text(word.value if word.value is not None else word.text, wanted, type_, doc)
        )

    def expanded(self, text: str) -> str:
        """A text with the variables that the procedure sets itself, as far as they are known."""
        return self._expanded(text)

    def _expanded(self, text: str) -> str:
        """With the variables that the procedure sets itself; one that holds the date is a parameter."""
        for _ in range(4):
            before = text
            for name, value in self.context.setting.items():
                held = f"${name}" if _DATE.fullmatch(value.strip()) else value
                if held != f"${name}" and f"${name}" not in value and f"${{{name}}}" not in value:
                    text = re.sub(rf"\$\{{{name}\}}|\${name}\b", partial(_held, held), text)
            if text == before:
                break
        return text

    def text(self, text: str, wanted: str = "", type_: str = "text", doc: str = "") -> str | None:
        """A text with shell variables and placeholders as templates; None where it computes something else."""
        if "{{" in text:
            return None
        text = self._expanded(text)
        take = self.context.parameters.take
        dated = _DATE.sub("\0date\0", text)
        if "$(" in dated or "`" in dated:
            return None
        filled = PLACEHOLDER.sub(lambda m: "{{ " + take(m[0], m[1] or m[2], type_, doc) + " }}", dated)

        def variable(match: re.Match[str]) -> str:
            name = match[1]
            if _DATE.fullmatch(self.context.setting.get(name, "").strip()):
                return "{{ " + dated_parameter(self.context, name) + " }}"
            return "{{ " + take(f"${name}", wanted if name.isdigit() and wanted else _called(name), type_, doc) + " }}"

        filled = _EXPANSION.sub(variable, filled)
        if "${" in filled:
            return None
        written = iter(_DATE.findall(text))

        def moment(_: re.Match[str]) -> str:
            command = next(written)
            return (
                "{{ "
                + take(command, "date", "text", f"the date; the manual has {command}", example_of(command))
                + " }}"
            )

        return re.sub("\0date\0", moment, filled)


def dated_parameter(context: Context, name: str) -> str:
    """The parameter for a variable of the shell that is set to the date."""
    command = context.setting[name].strip()
    doc = f"the date and time; the manual has {command}"
    return context.parameters.take(f"${name}", name, "text", doc, example_of(command))


def _held(value: str, _: re.Match[str]) -> str:
    return value


def _called(name: str) -> str:
    return f"argument_{name}" if name.isdigit() else name


def duration(text: str) -> str | None:
    """An SQL interval as a duration of a book."""
    from opsbook.book.units import Dimension, parse_quantity

    try:
        quantity = parse_quantity(re.sub(r"\s+", "", text.strip().lower()).replace("mins", "min"))
    except ValueError:
        return None
    return write_duration(quantity.value) if quantity.dimension is Dimension.DURATION else None
