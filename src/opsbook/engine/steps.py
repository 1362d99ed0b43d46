"""One step of a procedure: its attributes typed, its text compiled by its kind, its names known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta

from opsbook.book.catalogue import Catalogue, Risk
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.book.units import Dimension, parse_quantity
from opsbook.book.words import nearest
from opsbook.connectors.change import Json
from opsbook.engine.attributes import Attribute
from opsbook.engine.expressions import ExpressionError, check_expression, names_of, saved_of
from opsbook.engine.fact_names import facts_read
from opsbook.engine.front_matter import NAME, RESERVED, RESULTS, SURROUNDINGS
from opsbook.engine.http_values import READS
from opsbook.engine.markdown import FenceSource, TasksSource
from opsbook.engine.mistakes import Mistakes
from opsbook.engine.procedure import OnFailure, Parameter, Step, StepKind
from opsbook.engine.step_bodies import BodyCompiler
from opsbook.engine.templates import Template, UnclosedTemplate, templates

LONGEST = timedelta(days=7)
MOST_RETRIES = 20

RESULT_NAMES: dict[StepKind, tuple[str, ...]] = {
    StepKind.OP: RESULTS,
    StepKind.SH: ("exit", "stdout", "json"),
    StepKind.SQL: ("rows", "value", "records", "columns"),
    StepKind.PROMQL: ("rows", "value", "series"),
    StepKind.HTTP: ("status", "json", "body", "headers"),
    StepKind.CHECK: ("checks", "value"),
}
"""What `expect` may read of the result of each kind."""
STAYS = {"exit", "status", "rows"}
"""What there is of the result of a sensitive step."""


class StepCompiler:
    """Compiles the steps of one procedure in order: later ones may read what earlier ones save."""

    def __init__(
        self, parameters: Sequence[Parameter], system: System, catalogue: Catalogue, mistakes: Mistakes
    ) -> None:
        self.system, self.catalogue, self.mistakes = system, catalogue, mistakes
        self.parameters = {parameter.name: parameter for parameter in parameters}
        self.saved: dict[str, int] = {}
        self.on = ""
        """The component that the step at hand addresses."""
        self.bodies = BodyCompiler(parameters, system, catalogue, mistakes)

    def compile(self, source: FenceSource | TasksSource) -> Step | None:
        """The step; None where its mistakes leave nothing of it."""
        if isinstance(source, TasksSource):
            return self._person(source)
        attributes = source.attributes
        on = self._component(source)
        body = self.bodies.compile(source, on)
        self.on = on or str((body or {}).get("of", ""))
        texts = [*self._texts(body), *([attributes["undo"].value] if "undo" in attributes else [])]
        when, expect = self._condition(source, "when"), self._condition(source, "expect")
        save = self._save(source)
        reads = set() if body is None else self._reads(source, texts)
        needs = reads | (saved_of(when, self.saved) if when else frozenset())
        if save:
            self.saved[save] = source.line
        if body is None:
            return None
        risk, idempotent = self._risk(source, body)
        return Step(
            id=self._id(source),
            kind=source.kind,
            title=source.title,
            line=source.line,
            body=body,
            risk=risk,
            idempotent=idempotent,
            on=self.on,
            timeout=self._timeout(source),
            timeout_left_out="timeout" not in attributes,
            retry=self._retry(source),
            when=when,
            save=save,
            expect=expect,
            undo=self._undo(source, body, on),
            env=self._env(source),
            workdir=attributes["workdir"].value if "workdir" in attributes else "",
            sensitive="sensitive" in attributes,
            on_failure=self._on_failure(source),
            needs=tuple(sorted(needs)),
        )

    def _person(self, source: TasksSource) -> Step:
        text = source.title
        needs: set[str] = set()
        for item in source.items:
            needs |= self._names_in(item, (source.line, 1))
        body: dict[str, Json] = {"text": text, "items": list(source.items)}
        return Step(
            id="", kind=StepKind.PERSON, title=text, line=source.line, body=body, risk=Risk.READ, idempotent=True,
            timeout=0.0, needs=tuple(sorted(needs)),
        )  # fmt: skip

    # Names

    def _texts(self, body: Json) -> Iterable[str]:
        if isinstance(body, str):
            yield body
        elif isinstance(body, dict):
            for value in body.values():
                yield from self._texts(value)
        elif isinstance(body, list):
            for value in body:
                yield from self._texts(value)

    def _reads(self, source: FenceSource, texts: Iterable[str]) -> set[str]:
        """The saved results that the templates of a fence read; a name that there is not is a mistake at its place."""
        needs: set[str] = set()
        try:
            found = [piece for piece in templates(source.text) if isinstance(piece, Template)]
        except UnclosedTemplate:
            return needs
        for piece in found:
            place = source.place(piece.start)
            needs |= self._names_of(piece.expression, place, piece.end - piece.start)
        for text in texts:
            if text not in source.text and "{{" in text:
                needs |= self._names_in(text, source.language_place)
        return needs

    def _names_in(self, text: str, place: tuple[int, int]) -> set[str]:
        try:
            pieces = templates(text)
        except UnclosedTemplate as error:
            self.mistakes.add(place, error.message, error.hint)
            return set()
        return {
            name
            for piece in pieces
            if isinstance(piece, Template)
            for name in self._names_of(piece.expression, place, piece.end - piece.start)
        }

    def _names_of(
        self, expression: str, place: tuple[int, int], length: int, results: Sequence[str] = (), own: str = ""
    ) -> set[str]:
        """Check an expression and its names; what it reads of saved results."""
        try:
            check_expression(expression)
        except ExpressionError as error:
            self.mistakes.add(place, error.message, error.hint, length)
            return set()
        saved = {*self.saved, *([own] if own else [])}
        known = {*self.parameters, *saved, *SURROUNDINGS, *results}
        for name in sorted(names_of(expression) - known):
            message = f"{name!r} is neither a parameter nor saved by a step before"
            if name in RESULTS:
                message = f"{name!r} is not what this step yields here"
            hint = nearest(
                name, sorted(known - set(SURROUNDINGS)), "declare it under `params`, or save a result under it"
            )
            self.mistakes.add(place, message, hint, length)
        for name in sorted(saved_of(expression, saved) - saved):
            hint = nearest(name, sorted(saved), "save a result under it with save=")
            self.mistakes.add(place, f"no step before saves {name!r}", hint, length)
        for message, hint in facts_read(expression, self.on, self.system, self.catalogue)[1]:
            self.mistakes.add(place, message, hint, length)
        return set(saved_of(expression, self.saved))

    def _condition(self, source: FenceSource, key: str) -> str:
        attribute = source.attributes.get(key)
        if attribute is None:
            return ""
        if "{{" in attribute.value:
            self._at(attribute, f"`{key}` is an expression already", "write it without {{ and }}")
            return ""
        try:
            check_expression(attribute.value)
        except ExpressionError as error:
            self._at(attribute, error.message, error.hint)
            return ""
        results: tuple[str, ...] = ()
        own = ""
        if key == "expect":
            results = RESULT_NAMES[source.kind]
            own = source.attributes["save"].value if "save" in source.attributes else ""
        self._names_of(attribute.value, attribute.value_place, attribute.length, results, own)
        if key == "expect" and "sensitive" in source.attributes:
            self._expects_sensitive(attribute)
        return attribute.value

    def _expects_sensitive(self, attribute: Attribute) -> None:
        for name in sorted(names_of(attribute.value) & set(RESULTS) - STAYS):
            self._at(attribute, f"the {name} of a sensitive step is not kept", "expect its exit, status or rows")

    # Attributes

    def _at(self, attribute: Attribute, message: str, hint: str = "") -> None:
        self.mistakes.add(attribute.value_place, message, hint, attribute.length)

    def _id(self, source: FenceSource) -> str:
        attribute = source.attributes.get("id")
        if attribute and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", attribute.value):
            slug = re.sub(r"[^a-z0-9_-]+", "-", attribute.value.lower()).strip("-_")[:63]
            self._at(attribute, "an id has lower-case letters, digits, - and _", f"write {slug!r}")
        return attribute.value if attribute else ""

    def _component(self, source: FenceSource) -> str:
        """The component of `on`, or the only one of the kind that the fence needs."""
        kinds = {StepKind.SQL: "postgres", StepKind.PROMQL: "prometheus"}
        wanted = kinds.get(source.kind)
        components = self.system.components
        fitting = [name for name, one in components.items() if wanted is None or one.kind == wanted]
        attribute = source.attributes.get("on")
        if attribute is None:
            if wanted is None:
                return ""
            if len(fitting) != 1:
                message = f"on which component? The book has {'no' if not fitting else 'several'} of kind {wanted}"
                hint = f"add on={fitting[0]}" if fitting else f"add a component of kind {wanted} to book.yaml"
                self.mistakes.add(source.language_place, message, hint, len(source.kind))
                return ""
            return fitting[0]
        if attribute.value not in components:
            self._at(attribute, f"there is no component {attribute.value!r}", nearest(attribute.value, fitting))
            return ""
        self._fits(source, attribute, fitting, wanted)
        return attribute.value

    def _fits(self, source: FenceSource, attribute: Attribute, fitting: list[str], wanted: str | None) -> None:
        component = self.system.components[attribute.value]
        if wanted is not None and attribute.value not in fitting:
            message = f"{attribute.value!r} is a {component.kind} component; {source.kind} needs one of kind {wanted}"
            self._at(attribute, message, nearest(attribute.value, fitting))
        if source.kind is StepKind.SH and not component.workload:
            have = [name for name, one in self.system.components.items() if one.workload]
            message = f"{attribute.value!r} has no workload in which a command could run"
            self._at(attribute, message, nearest(attribute.value, have, "leave `on` out to run it on this host"))
        elif source.kind is StepKind.SH and self.system.environment.runtime.kind == "none":
            self._at(attribute, f"the environment {self.system.name!r} has no runtime", "set `runtime` in book.yaml")
        if source.kind is StepKind.HTTP and not isinstance(getattr(component, "url", None), Reference):
            have = [name for name, one in self.system.components.items() if one.kind == "http"]
            self._at(
                attribute, f"{attribute.value!r} has no URL", nearest(attribute.value, have, "write the whole URL")
            )

    def _timeout(self, source: FenceSource) -> float:
        attribute = source.attributes.get("timeout")
        if attribute is None:
            return 300.0
        try:
            quantity = parse_quantity(attribute.value)
        except ValueError as error:
            self._at(attribute, str(error), "write a duration such as 5m")
            return 300.0
        if quantity.dimension is not Dimension.DURATION or not 0 < quantity.value <= LONGEST.total_seconds():
            self._at(attribute, f"{attribute.value!r} is not a time-out", "write a duration up to 7d, such as 5m")
        return quantity.value

    def _retry(self, source: FenceSource) -> int:
        attribute = source.attributes.get("retry")
        if attribute is None:
            return 0
        if not re.fullmatch(r"\d{1,3}", attribute.value) or int(attribute.value) > MOST_RETRIES:
            self._at(attribute, f"{attribute.value!r} is not a number of retries", f"write 0 to {MOST_RETRIES}")
            return 0
        return int(attribute.value)

    def _save(self, source: FenceSource) -> str:
        attribute = source.attributes.get("save")
        if attribute is None:
            return ""
        name = attribute.value
        if not NAME.fullmatch(name) or name in RESERVED:
            self._at(attribute, f"a result cannot be saved as {name!r}", "use lower-case letters, digits and _")
        elif name in self.parameters:
            self._at(attribute, f"{name!r} is a parameter already", "save it under another name")
        elif name in self.saved:
            self._at(attribute, f"{name!r} is saved in line {self.saved[name]} already", "save it under another name")
        elif "sensitive" in source.attributes:
            self._at(attribute, "a sensitive result cannot be saved", "remove `save` or `sensitive`")
        else:
            return name
        return ""

    def _on_failure(self, source: FenceSource) -> OnFailure:
        attribute = source.attributes.get("on_failure")
        if attribute is None:
            return OnFailure.STOP
        if attribute.value not in list(OnFailure):
            hint = nearest(attribute.value, list(OnFailure))
            self._at(attribute, f"{attribute.value!r} is not what can follow a failure", hint)
            return OnFailure.STOP
        return OnFailure(attribute.value)

    def _env(self, source: FenceSource) -> tuple[str, ...]:
        attribute = source.attributes.get("env")
        if attribute is None:
            return ()
        found = []
        for entry in re.split(r"[,\s]+", attribute.value.strip(", ")):
            name, equals, reference = entry.partition("=")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name.startswith("OPSBOOK_"):
                self._at(attribute, f"{name!r} is not the name of a variable", 'write env="NAME,OTHER=${REFERENCE}"')
            elif equals and not re.fullmatch(r"\$\{[A-Za-z_]\w*(:-[^{}]*)?\}|file:\S+", reference):
                hint = f"write {name}=${{NAME}} or {name}=file:PATH; plain values stand in the script"
                self._at(attribute, f"the value of {name} is not a reference", hint)
            else:
                found.append(entry)
        return tuple(found)

    def _undo(self, source: FenceSource, body: dict[str, Json], on: str) -> dict[str, Json] | None:
        attribute = source.attributes.get("undo")
        if attribute is None:
            return None
        reads = (source.kind is StepKind.SQL and not body["write"]) or body.get("method") in READS
        if reads:
            self._at(attribute, "a step that only reads has nothing to undo", "remove `undo`")
            return None
        return self.bodies.compile_undo(source, attribute, on)

    def _risk(self, source: FenceSource, body: dict[str, Json]) -> tuple[Risk, bool]:
        """The risk and whether doing it twice does it once: of the operation, as said, or as the kind has it."""
        least, usual, idempotent = Risk.READ, Risk.READ, True
        if source.kind is StepKind.OP:
            spec = self.catalogue.operations[str(body["operation"])]
            least = usual = spec.risk_with(body.get("parameters") or {})
            idempotent = spec.idempotent
        elif (
            source.kind is StepKind.SH
            or (source.kind is StepKind.SQL and body["write"])
            or (source.kind is StepKind.HTTP and body["method"] not in READS)
        ):
            usual, idempotent = Risk.DESTRUCTIVE, False
        idempotent = idempotent or "idempotent" in source.attributes
        attribute = source.attributes.get("risk")
        if attribute is None:
            return usual, idempotent
        if attribute.value not in list(Risk):
            self._at(attribute, f"there is no risk {attribute.value!r}", nearest(attribute.value, list(Risk)))
            return usual, idempotent
        said = Risk(attribute.value)
        if said.rank < least.rank:
            self._at(attribute, f"{body['operation']} is {least}, and no procedure can say less", "remove `risk`")
            return least, idempotent
        return said, idempotent or (source.kind is StepKind.SH and said is Risk.READ)
