"""The front matter of a procedure: title, risk, typed parameters, lock, owner, objective."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from opsbook.book.catalogue import Risk
from opsbook.book.positions import Located, Path, Place
from opsbook.book.system import System
from opsbook.book.words import nearest
from opsbook.connectors.change import Json
from opsbook.engine.bounds import BOUNDED, amount, wrong_pattern
from opsbook.engine.mistakes import Mistakes
from opsbook.engine.parameters import TYPES, parse_value
from opsbook.engine.procedure import Parameter

WHOLE_SYSTEM = "system"
KEYS = ("title", "risk", "params", "lock", "owner", "objective")
PARAMETER_KEYS = ("type", "default", "example", "required", "choices", "min", "max", "pattern", "doc")
RESULTS = (
    "rows", "value", "records", "columns", "series", "checks", "stdout", "exit", "status", "json", "body", "headers",
    "result", "results",
)  # fmt: skip
"""What steps yield; a parameter of the same name would be hidden."""
SURROUNDINGS = ("saved", "facts")
RESERVED = frozenset(
    {*RESULTS, *SURROUNDINGS, "environment", "system", "run"}
    | {"true", "false", "none", "not", "and", "or", "in", "is", "if", "else"}
)
NAME = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True)
class FrontMatter:
    """What the front matter says. `risk` is None where it is left out: then it is that of the steps."""

    title: str = ""
    risk: Risk | None = None
    parameters: tuple[Parameter, ...] = ()
    lock: tuple[str, ...] = ()
    owner: str = ""
    objective: str = ""


def compile_front_matter(located: Located, system: System, mistakes: Mistakes) -> FrontMatter:
    """The typed front matter; what is wrong goes to the mistakes."""
    return _FrontMatter(located, system, mistakes).compile()


class _FrontMatter:
    def __init__(self, located: Located, system: System, mistakes: Mistakes) -> None:
        self.located, self.system, self.mistakes = located, system, mistakes
        self.data: dict[str, Any] = located.data

    def compile(self) -> FrontMatter:
        for key in self.data:
            if key not in KEYS:
                self.at_key((key,), f"there is no key {key!r} in the front matter", nearest(key, KEYS))
        if not self.data.get("title") and self.located.keys | self.located.values:
            place = self.located.key(("title",)) if "title" in self.data else Place(1, 1)
            self.mistakes.add((place.line, place.column), "the title is missing", "write `title: What it does`")
        return FrontMatter(
            title=self.text("title"),
            risk=self.risk(),
            parameters=tuple(self.parameters()),
            lock=self.lock(),
            owner=self.text("owner"),
            objective=self.objective(),
        )

    def at_key(self, path: Path, message: str, hint: str = "") -> None:
        place = self.located.key(path)
        self.mistakes.add((place.line, place.column), message, hint, len(str(path[-1])))

    def at_value(self, path: Path, message: str, hint: str = "", value: object = "") -> None:
        place = self.located.value(path)
        self.mistakes.add((place.line, place.column), message, hint, len(str(value)))

    def text(self, key: str) -> str:
        value = self.data.get(key, "")
        if not isinstance(value, str) and value is not None:
            self.at_value((key,), f"`{key}` is a text", "quote it", value)
            return ""
        return (value or "").strip()

    def risk(self) -> Risk | None:
        value = self.data.get("risk")
        if value is None:
            return None
        if value not in list(Risk):
            self.at_value(("risk",), f"there is no risk {value!r}", nearest(str(value), list(Risk)), value)
            return None
        return Risk(value)

    def lock(self) -> tuple[str, ...]:
        value = self.data.get("lock")
        if value is None:
            return ()
        paths: Sequence[Any] = value if isinstance(value, list) else [value]
        found = []
        for n, path in enumerate(paths):
            at: Path = ("lock", n) if isinstance(value, list) else ("lock",)
            first = str(path).partition("/")[0]
            if path == WHOLE_SYSTEM:
                return ()
            if not isinstance(path, str) or first not in self.system.components:
                known = [*self.system.components, WHOLE_SYSTEM]
                self.at_value(at, f"there is no component {first!r} to lock", nearest(first, known), path)
            else:
                found.append(path.strip("/"))
        return tuple(sorted(set(found)))

    def objective(self) -> str:
        value = self.text("objective")
        if not value:
            return ""
        model = self.system.model
        known = [f"{name}.{kind}" for name in model.objectives for kind in ("rto", "rpo")]
        known += [*model.objectives, *(slo.id for slo in model.slos)]
        if value not in known:
            self.at_value(("objective",), f"the book promises no objective {value!r}", nearest(value, known), value)
        return value

    def parameters(self) -> list[Parameter]:
        declared = self.data.get("params")
        if declared is None:
            return []
        if not isinstance(declared, dict):
            self.at_value(("params",), "`params` is a mapping of names", "write `params: {name: {type: text}}`")
            return []
        return [one for name, says in declared.items() if (one := self.parameter(str(name), says)) is not None]

    def parameter(self, name: str, says: Any) -> Parameter | None:
        at: Path = ("params", name)
        if not NAME.fullmatch(name):
            suggestion = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
            self.at_key(at, "a parameter is named with lower-case letters, digits and _", f"write {suggestion!r}")
            return None
        if name in RESERVED:
            self.at_key(at, f"{name!r} is a name of results or of the language", "give the parameter another name")
            return None
        if isinstance(says, str):
            says = {"type": says}
        if not isinstance(says, dict):
            self.at_value(at, "a parameter says its type", f"write {name}: {{type: text}}")
            return None
        for key in says:
            if key not in PARAMETER_KEYS:
                self.at_key((*at, key), f"a parameter has no key {key!r}", nearest(str(key), PARAMETER_KEYS))
        kind = says.get("type", "choice" if says.get("choices") else "text")
        if kind not in TYPES:
            type_at = (*at, "type") if (*at, "type") in self.located.values else at
            self.at_value(type_at, f"there is no type {kind!r}", nearest(str(kind), TYPES), kind)
            return None
        choices = self.choices(at, says, kind)
        default = says.get("default")
        required = says.get("required", "default" not in says)
        if not isinstance(required, bool):
            self.at_value((*at, "required"), "`required` is true or false", "write true or false", required)
            required = True
        if required and default is not None:
            self.at_key((*at, "required"), "a parameter with a default is not required", "remove one of the two")
        parameter = Parameter(name, kind, None, required, choices, str(says.get("doc") or ""))
        parameter = self.with_pattern(self.with_bounds(parameter, says, at), says, at)
        parameter = self.with_value(parameter, "default", default, at)
        return self.with_value(parameter, "example", says.get("example"), at)

    def choices(self, at: Path, says: dict[str, Any], kind: str) -> tuple[str, ...]:
        choices = says.get("choices")
        if choices is None:
            if kind == "choice":
                self.at_key(at, "a choice says what can be chosen", "add `choices: [a, b]`")
            return ()
        if not isinstance(choices, list) or not choices or any(isinstance(one, dict | list) for one in choices):
            self.at_value((*at, "choices"), "`choices` is a list of plain values", "write [a, b]")
            return ()
        found = []
        for n, one in enumerate(choices):
            if kind == "choice":
                found.append(str(one))
                continue
            try:
                found.append(str(parse_value(Parameter("", kind), one, self.system)))
            except ValueError as error:
                message, _, hint = str(error).partition(" → ")
                self.at_value((*at, "choices", n), message, hint, one)
        return tuple(found)

    def with_bounds(self, parameter: Parameter, says: dict[str, Any], at: Path) -> Parameter:
        """The parameter with its `min` and `max`."""
        found: dict[str, Json] = {}
        for key in ("min", "max"):
            given = says.get(key)
            if given is None:
                continue
            if parameter.type not in BOUNDED:
                self.at_key(
                    (*at, key),
                    f"a parameter of the type {parameter.type} has no `{key}`",
                    f"only {', '.join(BOUNDED)} have one",
                )
                continue
            try:
                found[key] = parse_value(parameter, given, self.system)
            except ValueError as error:
                message, _, hint = str(error).partition(" → ")
                self.at_value((*at, key), f"the {key} of {parameter.name} does not fit: {message}", hint, given)
        if len(found) == 2 and amount(parameter.type, found["min"]) > amount(parameter.type, found["max"]):
            self.at_value((*at, "min"), f"`min` is more than `max` ({found['max']})", "exchange them", says["min"])
            return parameter
        return replace(parameter, **found)

    def with_pattern(self, parameter: Parameter, says: dict[str, Any], at: Path) -> Parameter:
        """The parameter with its `pattern`."""
        given = says.get("pattern")
        if given is None:
            return parameter
        place: Path = (*at, "pattern")
        if parameter.type != "text":
            self.at_key(place, f"a parameter of the type {parameter.type} has no `pattern`", "only text has one")
        elif not isinstance(given, str):
            self.at_value(place, "`pattern` is a regular expression", "quote it", given)
        elif why := wrong_pattern(given):
            self.at_value(place, why, "write one without look-around and back references, such as '[a-z0-9-]+'", given)
        else:
            return replace(parameter, pattern=given)
        return parameter

    def with_value(self, parameter: Parameter, key: str, given: Json, at: Path) -> Parameter:
        """The parameter with its default or its example, where that fits its type."""
        if given is None:
            return parameter
        try:
            value = given if parameter.type == "secret" else parse_value(parameter, given, self.system)
        except ValueError as error:
            message, _, hint = str(error).partition(" → ")
            self.at_value((*at, key), f"the {key} of {parameter.name} does not fit: {message}", hint, given)
            return parameter
        return replace(parameter, **{key: value})
