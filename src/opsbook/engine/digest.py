"""Digests of plans, and what differs between two: the pure core under every approval.

A digest covers what will be done (effects, guards, inverses), the compiled procedure, its parameters, the environment
and the book's revision. Evidence and facts are never in it: a changed count voids nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from opsbook.connectors.change import Json
from opsbook.engine.procedure import Plan, PlannedStep, Procedure
from opsbook.engine.record import as_json

ABSENT: Any = object()
"""Where only one side of a comparison has something; a null is something."""

LONGEST_SHOWN = 80
"""Characters of a value in a sentence about a difference."""


def canonical(value: Json) -> str:
    """JSON that is the same for the same value: sorted keys, no spaces, whole numbers without a fraction."""
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Json) -> str:
    """SHA-256 over canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def binding(planned: PlannedStep) -> Json:
    """What an approval binds of a step. Guards and inverses of one that follows another are not known beforehand."""
    keys = ("kind", "effect") if planned.follows else ("kind", "effect", "guard", "inverse")
    return {
        "step": planned.step,
        "risk": planned.risk.value,
        "deferred": bool(planned.deferred),
        "skipped": bool(planned.skipped),
        "changes": [_bound(change, keys) for change in planned.changes],
    }


def step_digest(planned: PlannedStep) -> str:
    """The digest of one step."""
    return digest_of(binding(planned))


def sealed(plan: Plan) -> Plan:
    """The plan with its digests computed."""
    steps = {planned.step: step_digest(planned) for planned in plan.steps}
    whole = {
        "procedure": _meaning(plan.procedure),
        "parameters": plan.parameters,
        "environment": plan.environment,
        "book_revision": plan.book_revision,
        "steps": steps,
    }
    return replace(plan, digest=digest_of(whole), step_digests=steps)


def likeness(procedure: Procedure, parameters: Mapping[str, Any], environment: str) -> str:
    """Equal for runs that ask for the same: to go on with one that was interrupted instead of starting a second."""
    return digest_of([procedure.name, dict(parameters), environment])


def differences(before: Plan, after: Plan) -> list[str]:
    """What differs between two plans, as sentences: which step, which field, before and after."""
    found = [
        f"{name}: {_short(old)} became {_short(new)}"
        for name, old, new in (
            ("the environment", before.environment, after.environment),
            ("the book's revision", before.book_revision[:12], after.book_revision[:12]),
        )
        if old != new
    ]
    if _meaning(before.procedure) != _meaning(after.procedure):
        found.append(f"the procedure {after.procedure.name} was changed")
    for name in sorted({*before.parameters, *after.parameters}):
        old, new = before.parameters.get(name, ABSENT), after.parameters.get(name, ABSENT)
        if old != new:
            found.append(f"the parameter {name}: {_short(old)} became {_short(new)}")
    known = {planned.step: planned for planned in before.steps}
    for planned in after.steps:
        if planned.step in known:
            found += step_differences(known.pop(planned.step), planned)
        else:
            found.append(f"step {planned.step} is new")
    return [*found, *(f"step {name} is gone" for name in known)]


def step_differences(before: PlannedStep, after: PlannedStep) -> list[str]:
    """What differs between two plans of one step, as sentences."""
    return [
        f"step {after.step}: {path} was {_short(old)} and is now {_short(new)}"
        for path, old, new in _compare("", binding(before), binding(after))
    ]


def _compare(path: str, old: Json, new: Json) -> Iterator[tuple[str, Json, Json]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _compare(f"{path}.{key}" if path else str(key), old.get(key, ABSENT), new.get(key, ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            pair = (side[index] if index < len(side) else ABSENT for side in (old, new))
            yield from _compare(f"{path} {index + 1}" if path else str(index + 1), *pair)
    elif old is ABSENT or new is ABSENT or canonical(old) != canonical(new):
        yield path, old, new


def _bound(change: Json, keys: tuple[str, ...]) -> Json:
    inverse = change.get("inverse")
    told = {key: change.get(key) for key in keys}
    if isinstance(inverse, dict) and "inverse" in told:
        told["inverse"] = _bound(inverse, ("kind", "effect", "guard", "inverse"))
    return told


def _meaning(procedure: Procedure) -> Json:
    """The procedure without where its file lies."""
    return {key: value for key, value in as_json(procedure).items() if key != "file"}


def _whole(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {str(key): _whole(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(one) for one in value]
    return value


def _short(value: Json) -> str:
    text = "nothing" if value is ABSENT else canonical(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
