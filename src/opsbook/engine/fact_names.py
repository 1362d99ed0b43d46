"""Facts that expressions read: `facts.<observation>` or `facts.<component>.<observation>`.

Without a component it is the one that the step addresses, where the observation can be read of it; else the only one of
which it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opsbook.book.catalogue import Catalogue
from opsbook.book.semantics import can_read
from opsbook.book.system import System
from opsbook.book.words import nearest
from opsbook.engine.expressions import ExpressionError, paths_below
from opsbook.engine.procedure import Procedure, Step
from opsbook.engine.templates import expressions_of


@dataclass(frozen=True, order=True)
class FactName:
    """A fact that must be read: the path under which expressions find it, the observation, and its component."""

    path: tuple[str, ...]
    observation: str
    component: str


def facts_read(
    expression: str, on: str, system: System, catalogue: Catalogue
) -> tuple[tuple[FactName, ...], list[tuple[str, str]]]:
    """The facts that an expression reads, and (message, hint) for each that there is not."""
    found, wrong = [], []
    for path in sorted(paths_below(expression, "facts")):
        fact, reason = _fact(path, on, system, catalogue)
        if fact is not None:
            found.append(fact)
        elif reason is not None:
            wrong.append(reason)
    return tuple(found), wrong


def facts_of(steps: Procedure | Step, system: System, catalogue: Catalogue) -> tuple[FactName, ...]:
    """Every fact that the conditions and templates of a step or procedure read: what to observe before filling it."""
    found: set[FactName] = set()
    for step in [steps] if isinstance(steps, Step) else steps.steps:
        texts = [*_texts(step.body), *_texts(step.undo or {})]
        expressions = [step.when, step.expect, *(e for text in texts for e in _expressions(text))]
        if "values" in step.body:
            expressions += [str(one) for one in step.body["values"].values()]
        for expression in expressions:
            if expression and "facts" in expression:
                found |= set(facts_read(expression, step.on, system, catalogue)[0])
    return tuple(sorted(found))


def nested(facts: Mapping[FactName, Any]) -> dict[str, Any]:
    """The values as the name `facts` of expressions."""
    tree: dict[str, Any] = {}
    for fact, value in facts.items():
        branch = tree
        for part in fact.path[:-1]:
            branch = branch.setdefault(part, {})
        branch[fact.path[-1]] = value
    return tree


def _expressions(text: str) -> Iterable[str]:
    try:
        return expressions_of(text)
    except ExpressionError:
        return ()


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _fact(
    path: tuple[str, ...], on: str, system: System, catalogue: Catalogue
) -> tuple[FactName | None, tuple[str, str] | None]:
    named = path[0] in system.components and len(path) > 1
    rest = path[1:] if named else path
    name = next(
        (".".join(rest[:n]) for n in range(len(rest), 0, -1) if ".".join(rest[:n]) in catalogue.observations), ""
    )
    if not name:
        word = ".".join(rest)
        return None, (f"there is no observation {word!r}", nearest(word, catalogue.observations))
    spec = catalogue.observations[name]
    fitting = sorted(one for one, component in system.components.items() if can_read(spec, component))
    whole = path[: (1 if named else 0) + name.count(".") + 1]
    if named and path[0] not in fitting:
        return None, (f"{name} cannot be read of {path[0]!r}", nearest(path[0], fitting))
    if named:
        return FactName(whole, name, path[0]), None
    if on in fitting:
        return FactName(whole, name, on), None
    if len(fitting) != 1:
        hint = f"say which: facts.{fitting[0]}.{name}" if fitting else "add such a component to book.yaml"
        return None, (f"{name} can be read of {len(fitting) or 'no'} components", hint)
    return FactName(whole, name, fitting[0]), None
