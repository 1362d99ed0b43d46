"""What a schema cannot say: names that must exist, units that must fit, circles that must not be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import ValidationError

from opsbook.book.catalogue import Catalogue, Component, ObservationSpec
from opsbook.book.checks import Check
from opsbook.book.explain import split_hint, unknown_key
from opsbook.book.model import BookModel
from opsbook.book.names import SHOWN, Known, unknown_names
from opsbook.book.positions import Path, dotted
from opsbook.book.threshold import Threshold
from opsbook.book.units import EXAMPLE, Dimension, Quantity, parse_quantity
from opsbook.book.words import nearest


@dataclass(frozen=True)
class Contradiction:
    """Something in the book that does not fit the rest of it."""

    path: Path
    message: str
    hint: str = ""
    at_key: bool = False


def contradictions(
    book: BookModel, catalogue: Catalogue, written: Mapping[str, Any] | None = None
) -> list[Contradiction]:
    """Everything in the book that does not fit together.

    `written` is the file's own data where the book is what could be saved of a broken one: names that are defined
    there are not called missing.
    """
    known = Known.of(book, written)
    return [
        *_names(book, known),
        *_circles(book),
        *_checks(book, catalogue),
        *_jobs(book, catalogue),
        *_capacity(book, catalogue),
        *_blue_green(book),
        *_of_one_component(book),
        *_windows(book),
        *_duplicates(book),
    ]


def dependencies(component: Component) -> list[str]:
    """The components that it names as needed: by `depends_on` and by the keys that link to another component."""
    linked = [getattr(component, name) for name in component.linked]
    return [*component.depends_on, *(name for name in linked if name)]


def _names(book: BookModel, known: Known) -> Iterator[Contradiction]:
    for path, name, what, at_key in unknown_names(book, known):
        message = f"there is no {SHOWN.get(what, what)} named {name!r}"
        yield Contradiction(path, message, nearest(name, known.names[what]), at_key)
    for name, component in book.components.items():
        for key in component.linked:
            other = getattr(component, key)
            if other and known.lacks("component", other):
                message = f"there is no component named {other!r}"
                yield Contradiction(("components", name, key), message, nearest(other, known.names["component"]))


def _circles(book: BookModel) -> Iterator[Contradiction]:
    components: Mapping[str, Component] = book.components
    graph = {name: [d for d in dependencies(c) if d in components] for name, c in components.items()}
    if circle := find_circle(graph):
        message = "depends on itself: " + " → ".join(circle)
        yield Contradiction(("components", circle[0]), message, "remove one of these dependencies", at_key=True)
    after = {name: [e.after] if e.after in book.environments else [] for name, e in book.environments.items()}
    if circle := find_circle(after):
        message = "comes after itself: " + " → ".join(circle)
        yield Contradiction(("environments", circle[0], "after"), message, "remove one `after`")


def find_circle(graph: Mapping[str, Sequence[str]]) -> list[str]:
    """One circle of the graph, first and last node the same; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []


def _checks(book: BookModel, catalogue: Catalogue) -> Iterator[Contradiction]:
    for n, check in enumerate(book.checks):
        at: Path = ("checks", n)
        component = book.components.get(check.of)
        spec = catalogue.observations.get(check.observe)
        if spec is None:
            yield _no_observation((*at, "observe"), check.observe, catalogue, component)
            continue
        if component is not None and not can_read(spec, component):
            yield _unfit(at, check, spec, component, book)
        yield from _thresholds(at, check, spec)
        yield from _parameters((*at, "with"), check.with_, spec)


def _no_observation(path: Path, name: str, catalogue: Catalogue, component: Component | None = None) -> Contradiction:
    specs = catalogue.observations
    fitting = [one for one, spec in specs.items() if component is not None and can_read(spec, component)]
    hint = nearest(name, fitting or specs)
    if not hint.startswith("did you"):
        hint += "; `opsbook observations` lists all"
    return Contradiction(path, f"there is no observation named {name!r}", hint)


def _unfit(at: Path, check: Check, spec: ObservationSpec, component: Component, book: BookModel) -> Contradiction:
    fitting = sorted(name for name, c in book.components.items() if can_read(spec, c))
    needs = " or ".join(spec.kinds)
    if "workload" in spec.kinds:
        message = f"{spec.name} needs a workload, and {check.of!r} names none"
        return Contradiction((*at, "of"), message, f"add `workload:` to {check.of!r}, its name in the runtime")
    return Contradiction(
        (*at, "of"),
        f"{spec.name} cannot be read of {check.of!r}, which is a {component.kind} component",
        "components it can be read of: " + (", ".join(fitting) or f"none; it needs one of kind {needs}"),
    )


def can_read(spec: ObservationSpec, component: Component) -> bool:
    """Whether the observation can be read of this component. `workload` stands for every component that has one."""
    return (
        component.kind in spec.kinds or ("workload" in spec.kinds and bool(component.workload)) or "any" in spec.kinds
    )


def _thresholds(at: Path, check: Check, spec: ObservationSpec) -> Iterator[Contradiction]:
    fits = True
    for key in ("warning", "critical"):
        threshold: Threshold | None = getattr(check, key)
        if threshold and (reason := threshold.misfit(spec.dimension)):
            fits = False
            hint = f"write {_example(threshold, spec.dimension)}; see `opsbook observations {spec.name}`"
            yield Contradiction((*at, key), reason, hint)
    if check.warning and check.critical and fits and check.warning.contradicts(check.critical):
        message = f"critical ({check.critical}) is reached before warning ({check.warning}), which never shows"
        yield Contradiction((*at, "warning"), message, "were the two exchanged?")
    if not (check.warning or check.critical or spec.warning or spec.critical):
        hint = f"add a threshold, such as `critical: {_example(None, spec.dimension)}`"
        yield Contradiction(at, "a check needs `warning` or `critical`", hint)


USUAL_UNIT = {
    Dimension.DURATION: "s",
    Dimension.SIZE: "MB",
    Dimension.RATIO: "%",
    Dimension.RATE: "/s",
    Dimension.THROUGHPUT: "MB/s",
    Dimension.COUNT: "",
}


def _example(written: Threshold | None, dimension: Dimension) -> str:
    """A threshold that would fit, in the direction of the one that does not."""
    if dimension is Dimension.STATE:
        return '"is down"'
    if dimension is Dimension.TEXT:
        return '"!= word"'
    operator = written.operator if written and written.operator in ("<", "<=", ">", ">=") else ">"
    if written and isinstance(written.limit, Quantity) and written.limit.dimension is Dimension.COUNT:
        return f'"{operator} {written.limit.value:g}{USUAL_UNIT[dimension]}"'  # only its unit is missing
    return f'"{operator} {EXAMPLE[dimension].split(",")[0]}"'


def _parameters(at: Path, written: Mapping[str, object], spec: ObservationSpec) -> Iterator[Contradiction]:
    try:
        spec.parameters.model_validate(written)
    except ValidationError as error:
        for details in error.errors():
            path = (*at, *details["loc"])
            known = [f.alias or name for name, f in spec.parameters.model_fields.items()]
            key = str(details["loc"][-1]) if details["loc"] else ""
            if details["type"] == "extra_forbidden":
                hint = unknown_key(key, known) if known else "it takes none; remove `with`"
                yield Contradiction(path, f"{spec.name} has no parameter {key!r}", hint, at_key=True)
            elif details["type"] == "missing":
                hint = f"write `with: {{{key}: …}}`; see `opsbook observations {spec.name}`"
                yield Contradiction(at[:-1], f"{spec.name} needs the parameter {key!r}", hint)
            else:
                message, hint = split_hint(details["msg"].removeprefix("Value error, "))
                hint = hint or f"a parameter of {spec.name}; see `opsbook observations {spec.name}`"
                yield Contradiction(path, message, hint)


def _jobs(book: BookModel, catalogue: Catalogue) -> Iterator[Contradiction]:
    for n, job in enumerate(book.jobs):
        at: Path = ("jobs", n)
        if job.observe is None:
            continue
        spec = catalogue.observations.get(job.observe)
        if spec is None:
            yield _no_observation((*at, "observe"), job.observe, catalogue)
        else:
            yield from _parameters((*at, "with"), job.with_, spec)


def _capacity(book: BookModel, catalogue: Catalogue) -> Iterator[Contradiction]:
    """The limit has the unit of what the check observes."""
    observed = {check.id: check.observe for check in book.checks}
    for n, one in enumerate(book.capacity):
        at: Path = ("capacity", n, "limit")
        try:
            limit = parse_quantity(one.limit)
        except ValueError as error:
            yield Contradiction(at, *split_hint(str(error)))
            continue
        spec = catalogue.observations.get(observed.get(one.check, ""))
        if spec is not None and spec.dimension is not limit.dimension:
            message = f"{one.limit!r} is a {limit.dimension}, but {spec.name} yields a {spec.dimension}"
            yield Contradiction(at, message, f"write {EXAMPLE[spec.dimension].split(',')[0]} or the like")


def _blue_green(book: BookModel) -> Iterator[Contradiction]:
    for name, deploy in book.deploys.components.items():
        switched = deploy.switch or deploy.service or deploy.labels
        if deploy.strategy == "blue-green" and not (deploy.blue and deploy.green and switched):
            said = {
                "`blue`": deploy.blue,
                "`green`": deploy.green,
                "`switch`, `service` or `labels`": switched,
            }
            lacking = [key for key, value in said.items() if not value]
            yield Contradiction(
                ("deploys", "components", name),
                "a blue-green deploy needs " + " and ".join(lacking),
                "name the workloads of both sides and what sends traffic to one of them",
                at_key=True,
            )


def _of_one_component(book: BookModel) -> Iterator[Contradiction]:
    """What says where one component has its configuration or its traffic says nothing of all of them."""
    for key in ("config", "labels"):
        if getattr(book.deploys, key):
            message = f"`{key}` is of one component, not of all"
            yield Contradiction(("deploys", key), message, f"write it in `deploys.components.NAME.{key}`", at_key=True)


def _windows(book: BookModel) -> Iterator[Contradiction]:
    """A line that a procedure of the window ticks cannot be ticked before that procedure begins."""
    for n, window in enumerate(book.windows):
        asked = book.checklists.get(window.before or "")
        for line in asked.items if asked else ():
            if line.procedure in window.procedures and not line.optional:
                message = f"{line.procedure} waits for this checklist, whose line {line.text!r} waits for its run"
                yield Contradiction(("windows", n, "before"), message, "name it as `checklist`, or take the line out")


WITH_IDS = (
    "checks", "slos", "capacity", "backups", "drills", "assertions", "exports", "silences", "windows", "freezes",
    "rotations", "certificates", "jobs", "reports", "smoke_tests",
)  # fmt: skip


def _duplicates(book: BookModel) -> Iterator[Contradiction]:
    for key in WITH_IDS:
        seen: dict[str, int] = {}
        items: Sequence[Any] = getattr(book, key)
        for n, item in enumerate(items):
            if item.id in seen:
                first = dotted((key, seen[item.id]))
                yield Contradiction(
                    (key, n, "id"), f"the id {item.id!r} is already taken by {first}", "give each its own id"
                )
            seen.setdefault(item.id, n)
