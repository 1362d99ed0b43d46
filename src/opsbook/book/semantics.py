"""What a schema cannot say: names that must exist, units that must fit, circles that must not be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from opsbook.book.catalogue import Catalogue, Component, ObservationSpec
from opsbook.book.checks import Check
from opsbook.book.environments import BUILT_IN_POLICIES
from opsbook.book.model import BookModel
from opsbook.book.positions import Path, dotted

WHOLE_SYSTEM = "system"


@dataclass(frozen=True)
class Contradiction:
    """Something in the book that does not fit the rest of it."""

    path: Path
    message: str
    hint: str = ""
    at_key: bool = False


def contradictions(book: BookModel, catalogue: Catalogue) -> list[Contradiction]:
    """Everything in the book that does not fit together."""
    return [
        *_components(book),
        *_environments(book),
        *_checks(book, catalogue),
        *_names(book),
        *_duplicates(book),
    ]


def dependencies(component: Component) -> list[str]:
    """The components that it names as needed: by `depends_on` and by the keys that link to another component."""
    linked = [getattr(component, name) for name in component.linked]
    return [*component.depends_on, *(name for name in linked if name)]


def _unknown(path: Path, word: str, known: Iterable[str], what: str) -> Iterator[Contradiction]:
    names = list(known)
    if word not in names:
        from opsbook.book.load import nearest

        yield Contradiction(path, f"there is no {what} named {word!r}", nearest(word, names))


def _components(book: BookModel) -> Iterator[Contradiction]:
    components: Mapping[str, Component] = book.components
    for name, component in components.items():
        for n, other in enumerate(component.depends_on):
            yield from _unknown(("components", name, "depends_on", n), other, components, "component")
        for key in component.linked:
            if other := getattr(component, key):
                yield from _unknown(("components", name, key), other, components, "component")
    graph = {name: [d for d in dependencies(c) if d in components] for name, c in components.items()}
    circle = find_circle(graph)
    if circle:
        yield Contradiction(
            ("components", circle[0]),
            "depends on itself: " + " → ".join(circle),
            "remove one of these dependencies",
            at_key=True,
        )


def find_circle(graph: Mapping[str, Sequence[str]]) -> list[str]:
    """One circle of the graph, first and last node the same; empty where there is none."""
    done: set[str] = set()

    def walk(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return []
        for neighbour in graph[node]:
            if circle := walk(neighbour, [*trail, node]):
                return circle
        done.add(node)
        return []

    for start in graph:
        if circle := walk(start, []):
            return circle
    return []


def _environments(book: BookModel) -> Iterator[Contradiction]:
    ids = [check.id for check in book.checks]
    if book.default_environment:
        yield from _unknown(("default_environment",), book.default_environment, book.environments, "environment")
    for name, environment in book.environments.items():
        at: Path = ("environments", name)
        yield from _unknown((*at, "policy"), environment.policy, {**BUILT_IN_POLICIES, **book.policies}, "policy")
        if environment.after:
            yield from _unknown((*at, "after"), environment.after, book.environments, "environment")
        for component in environment.components:
            yield from _unknown((*at, "components", component), component, book.components, "component")
        for check in environment.checks:
            yield from _unknown((*at, "checks", check), check, ids, "check")
    graph = {name: [e.after] if e.after in book.environments else [] for name, e in book.environments.items()}
    if circle := find_circle(graph):
        yield Contradiction(
            ("environments", circle[0], "after"), "comes after itself: " + " → ".join(circle), "remove one `after`"
        )


def _checks(book: BookModel, catalogue: Catalogue) -> Iterator[Contradiction]:
    for n, check in enumerate(book.checks):
        at: Path = ("checks", n)
        component = book.components.get(check.of)
        if component is None:
            yield from _unknown((*at, "of"), check.of, book.components, "component")
        for d, other in enumerate(check.depends_on):
            yield from _unknown((*at, "depends_on", d), other, book.components, "component")
        if check.severity and book.severities:
            yield from _unknown((*at, "severity"), check.severity, book.severities, "severity")
        spec = catalogue.observations.get(check.observe)
        if spec is None:
            yield from _unknown((*at, "observe"), check.observe, catalogue.observations, "observation")
            continue
        if component is not None and not can_read(spec, component):
            fitting = sorted(name for name, c in book.components.items() if can_read(spec, c))
            yield Contradiction(
                (*at, "of"),
                f"{check.observe} cannot be read of {check.of!r}, which is a {component.kind} component",
                "components it can be read of: "
                + (", ".join(fitting) or f"none; it needs one of kind {' or '.join(spec.kinds)}"),
            )
        yield from _thresholds(at, check, spec)
        yield from _parameters(at, check, spec)


def can_read(spec: ObservationSpec, component: Component) -> bool:
    """Whether the observation can be read of this component. `workload` stands for every component that has one."""
    return (
        component.kind in spec.kinds or ("workload" in spec.kinds and bool(component.workload)) or "any" in spec.kinds
    )


def _thresholds(at: Path, check: Check, spec: ObservationSpec) -> Iterator[Contradiction]:
    for key in ("warning", "critical"):
        threshold = getattr(check, key)
        if threshold and (reason := threshold.misfit(spec.dimension)):
            yield Contradiction(
                (*at, key), reason, f"{spec.name} yields a {spec.dimension}; see `opsbook observations {spec.name}`"
            )
    if not (check.warning or check.critical or spec.warning or spec.critical):
        yield Contradiction(
            at, "a check needs `warning` or `critical`", f'add a threshold, e.g. `critical: "{_example(spec)}"`'
        )


def _example(spec: ObservationSpec) -> str:
    from opsbook.book.units import EXAMPLE

    return f"> {EXAMPLE[spec.dimension].split(',')[0]}"


def _parameters(at: Path, check: Check, spec: ObservationSpec) -> Iterator[Contradiction]:
    from opsbook.book.load import nearest

    try:
        spec.parameters.model_validate(check.with_)
    except ValidationError as error:
        for details in error.errors():
            path = (*at, "with", *details["loc"])
            known = [f.alias or name for name, f in spec.parameters.model_fields.items()]
            if details["type"] == "extra_forbidden":
                key = str(details["loc"][-1])
                yield Contradiction(path, f"{spec.name} has no parameter {key!r}", nearest(key, known), at_key=True)
            elif details["type"] == "missing":
                yield Contradiction(
                    path, f"{spec.name} needs the parameter {details['loc'][-1]!r}", "add it under `with`"
                )
            else:
                yield Contradiction(path, details["msg"].removeprefix("Value error, "), f"a parameter of {spec.name}")


def _names(book: BookModel) -> Iterator[Contradiction]:
    """Names in the other sections that must exist."""
    components, ids = list(book.components), [check.id for check in book.checks]
    people = [*book.channels, *book.oncall, *book.contacts]
    for name in book.objectives:
        yield from _unknown(("objectives", name), name, [*components, WHOLE_SYSTEM, "application"], "component")
    for n, backup in enumerate(book.backups):
        yield from _unknown(("backups", n, "of"), backup.of, components, "component")
    for n, retention in enumerate(book.retention):
        yield from _unknown(("retention", n, "of"), retention.of, components, "component")
    for n, slo in enumerate(book.slos):
        yield from _unknown(("slos", n, "check"), slo.check, ids, "check")
    for n, level in enumerate(book.escalation):
        yield from _unknown(("escalation", n, "notify"), level.notify, people, "channel, rotation or contact")
    for grade, severity in book.severities.items():
        for n, level in enumerate(severity.escalation):
            at: Path = ("severities", grade, "escalation", n, "notify")
            yield from _unknown(at, level.notify, people, "channel, rotation or contact")
    for n, window in enumerate(book.windows):
        for c, component in enumerate(window.components):
            yield from _unknown(("windows", n, "components", c), component, components, "component")
        if window.checklist:
            yield from _unknown(("windows", n, "checklist"), window.checklist, book.checklists, "checklist")
    for key in ("assertions", "smoke_tests", "rotations"):
        for n, item in enumerate(getattr(book, key)):
            yield from _unknown((key, n, "of"), item.of, components, "component")
    for n, job in enumerate(book.jobs):
        if job.of:
            yield from _unknown(("jobs", n, "of"), job.of, components, "component")


def _duplicates(book: BookModel) -> Iterator[Contradiction]:
    for key in ("checks", "backups", "windows", "slos", "assertions", "smoke_tests", "rotations", "jobs"):
        seen: dict[str, int] = {}
        items: Sequence[Any] = getattr(book, key)
        for n, item in enumerate(items):
            if item.id in seen:
                first = dotted((key, seen[item.id]))
                yield Contradiction(
                    (key, n, "id"), f"the id {item.id!r} is already taken by {first}", "give each its own id"
                )
            seen.setdefault(item.id, n)
