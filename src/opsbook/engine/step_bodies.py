"""The text of a fence, compiled by its kind into the plain data of a step's body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from opsbook.book.catalogue import Catalogue, OperationSpec
from opsbook.book.positions import Located, Unreadable, read_yaml
from opsbook.book.references import VARIABLE
from opsbook.book.system import System
from opsbook.book.words import nearest
from opsbook.connectors.change import Json
from opsbook.engine.attributes import Attribute
from opsbook.engine.http_values import read_request
from opsbook.engine.markdown import FenceSource
from opsbook.engine.mistakes import Mistakes, TextMistake
from opsbook.engine.procedure import Parameter, StepKind
from opsbook.engine.promql_values import compile_query
from opsbook.engine.shell_values import compile_script
from opsbook.engine.sql_values import compile_statements
from opsbook.engine.templates import UnclosedTemplate, expressions_of, quoted_texts, templates
from opsbook.engine.values import NO_SECRETS, may_hold_secrets

Body = dict[str, Json]
PLAIN = frozenset({StepKind.SQL, StepKind.PROMQL, StepKind.HTTP})
"""Kinds in which a quoted text as a template would hide what is quoted."""


class BodyCompiler:
    """Compiles the texts of one procedure's fences."""

    def __init__(
        self, parameters: Sequence[Parameter], system: System, catalogue: Catalogue, mistakes: Mistakes
    ) -> None:
        self.system, self.catalogue, self.mistakes = system, catalogue, mistakes
        self.whole = frozenset(parameter.name for parameter in parameters if parameter.type == "int")
        self.components = {p.name for p in parameters if p.type == "component"}

    def compile(self, source: FenceSource, on: str) -> Body | None:
        """The body of the step; None where its text is too wrong."""
        found: list[TextMistake] = []
        try:
            if source.kind in PLAIN and quoted_texts(source.text):
                found.append(
                    TextMistake(source.text.find("{{"), 2, "a quoted text needs no {{ }} here", "write it out")
                )
            body = self._compile(source.kind, source.text, "write" in source.attributes, bool(on), found, source)
        except UnclosedTemplate as error:
            self.mistakes.add(source.place(error.offset), error.message, error.hint, 2)
            return None
        for mistake in found:
            self.mistakes.add(source.place(mistake.offset), mistake.message, mistake.hint, mistake.length)
        return body

    def compile_undo(self, source: FenceSource, attribute: Attribute, on: str) -> Body | None:
        """The body of its undo, written in the attribute in the language of the fence."""
        found: list[TextMistake] = []
        try:
            body = self._compile(source.kind, attribute.value, True, bool(on), found, source)
        except UnclosedTemplate as error:
            found, body = [TextMistake(error.offset, 2, error.message, error.hint)], None
        line, column = attribute.value_place
        for mistake in found:
            self.mistakes.add((line, column + mistake.offset), f"undo: {mistake.message}", mistake.hint, mistake.length)
        return body

    def _compile(
        self, kind: StepKind, text: str, write: bool, based: bool, found: list[TextMistake], source: FenceSource
    ) -> Body | None:
        if kind is StepKind.SH:
            return self._sh(text, found)
        if kind is StepKind.SQL:
            statements, mistakes = compile_statements(text, write)
            found += mistakes
            return {"statement": text, "statements": list(statements), "write": write}
        if kind is StepKind.PROMQL:
            found += compile_query(text)
            return {"query": text}
        if kind is StepKind.HTTP:
            request, mistakes = read_request(text, based)
            found += mistakes
            return request.as_json()
        make: Callable[[FenceSource], Body | None] = self._op if kind is StepKind.OP else self._check
        return make(source)

    def _sh(self, text: str, found: list[TextMistake]) -> Body | None:
        if not text.strip():
            found.append(TextMistake(0, 1, "there is no command here", "write one, or remove the fence"))
            return None
        # An int parameter, and what the filter `int` yields, are whole numbers whatever their value.
        whole = {e for e in expressions_of(text) if e in self.whole or e.replace(" ", "").endswith("|int")}
        script, mistakes = compile_script(text, frozenset(whole))
        found += mistakes
        if script is None:
            return {"script": text, "program": "", "values": {}, "words": [], "numbers": []}
        return {
            "script": text, "program": script.program, "values": dict(script.values), "words": list(script.words),
            "numbers": list(script.numbers),
        }  # fmt: skip

    # YAML fences

    def _yaml(self, source: FenceSource) -> Located | None:
        try:
            return read_yaml(source.text, self.mistakes.file)
        except Unreadable as error:
            for problem in error.problems:
                hint = problem.hint
                if "{{" in source.text:
                    hint = 'quote a value with a template: "{{ name }}"'
                self.mistakes.add(source.place_in(problem.place), problem.message, hint)
            return None

    def _op(self, source: FenceSource) -> Body | None:
        located = self._yaml(source)
        if located is None:
            return None
        data = located.data
        if not isinstance(data, dict) or len(data) != 1:
            message = "an op fence is one operation with its parameters"
            self.mistakes.add(source.place(0), message, "write name.of.operation: {of: component, …}")
            return None
        ((name, given),) = data.items()
        spec = self.catalogue.operations.get(name)
        if spec is None:
            hint = nearest(name, self.catalogue.operations)
            place = source.place_in(located.key((name,)))
            self.mistakes.add(place, f"there is no operation {name!r}", hint, len(name))
            return None
        if given is None:
            given = {}
        if not isinstance(given, dict):
            place = source.place_in(located.value((name,)))
            self.mistakes.add(place, f"the parameters of {name} are a mapping", f"write {name}: {{of: component}}")
            return None
        self._parameters(source, located, spec, given)
        return {"operation": name, "parameters": given, "of": self._static(given.get("of"))}

    def _static(self, component: Any) -> str:
        return component if isinstance(component, str) and "{{" not in component else ""

    def _parameters(self, source: FenceSource, located: Located, spec: OperationSpec, given: dict[str, Any]) -> None:
        try:
            spec.parameters.model_validate(given)
        except ValidationError as error:
            for details in error.errors():
                self._parameter(source, located, spec, given, details)
        able = may_hold_secrets(spec)
        for name, value in given.items():
            # `file:` and `cmd:` may well be plain text there: the beginning of a key, a name.
            if name not in able and isinstance(value, str) and VARIABLE.fullmatch(value.strip()):
                place = source.place_in(located.value((spec.name, name)))
                self.mistakes.add(place, f"{name} of {spec.name} cannot hold a secret", NO_SECRETS, len(value))
        component = self._static(given.get("of"))
        if not component:
            return
        place = source.place_in(located.value((spec.name, "of")))
        fitting = [name for name in self.system.components if self._can(spec, name)]
        if component not in self.system.components:
            self.mistakes.add(
                place, f"there is no component {component!r}", nearest(component, fitting), len(component)
            )
        elif component not in fitting:
            kind = self.system.components[component].kind
            message = f"{spec.name} cannot change {component!r}, which is a {kind} component"
            self.mistakes.add(place, message, nearest(component, fitting), len(component))

    def _can(self, spec: OperationSpec, name: str) -> bool:
        component = self.system.components[name]
        return (
            component.kind in spec.kinds
            or "any" in spec.kinds
            or ("workload" in spec.kinds and bool(component.workload))
        )

    def _parameter(
        self, source: FenceSource, located: Located, spec: OperationSpec, given: dict[str, Any], details: ErrorDetails
    ) -> None:
        if _templated(given, details["loc"]):
            return
        path = (spec.name, *details["loc"])
        word = str(details["loc"][-1]) if details["loc"] else spec.name
        known = [field.alias or name for name, field in spec.parameters.model_fields.items()]
        if details["type"] == "extra_forbidden":
            place = source.place_in(located.key(path))
            self.mistakes.add(place, f"{spec.name} has no parameter {word!r}", nearest(word, known), len(word))
        elif details["type"] == "missing":
            place = source.place_in(located.key((spec.name,)))
            self.mistakes.add(place, f"{spec.name} needs the parameter {word!r}", f"add `{word}: …`", len(spec.name))
        else:
            place = source.place_in(located.value(path))
            message = details["msg"].removeprefix("Value error, ")
            value = details.get("input")
            length = len(str(value)) if isinstance(value, str | int | float) else 1
            self.mistakes.add(
                place, f"{word}: {message[:1].lower()}{message[1:]}", f"see `opsbook operations {spec.name}`", length
            )

    def _check(self, source: FenceSource) -> Body | None:
        located = self._yaml(source)
        if located is None:
            return None
        data = located.data
        if isinstance(data, str):
            data = data.split()
        if isinstance(data, list):
            data = {"checks": data}
        if not isinstance(data, dict) or not set(data) <= {"checks", "groups"} or not any(data.values()):
            message = "a check fence names checks of the book"
            self.mistakes.add(source.place(0), message, "write one id a line, or groups: [daily]")
            return None
        known = {"checks": [check.id for check in self.system.checks],
                 "groups": sorted({group for check in self.system.checks for group in check.groups})}  # fmt: skip
        body: Body = {}
        for key, names in known.items():
            wanted = data.get(key) or []
            wanted = wanted if isinstance(wanted, list) else [wanted]
            for word in wanted:
                if word not in names:
                    offset = max(source.text.find(str(word)), 0)
                    message = f"there is no {key.removesuffix('s')} {word!r} in the book"
                    self.mistakes.add(source.place(offset), message, nearest(str(word), names), len(str(word)))
            body[key] = [str(word) for word in wanted]
        return body


def _templated(given: Any, location: Sequence[str | int]) -> bool:
    """Whether the value at this place, or one above it, is a template: it is checked when it is filled in."""
    value = given
    for part in location:
        if isinstance(value, str):
            break
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return isinstance(value, str) and any(not isinstance(piece, str) for piece in templates(value))
