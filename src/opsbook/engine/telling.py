"""Changes as text for people: what would be sent, and as plain commands for the day when opsbook itself is down."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from opsbook.connectors.change import Json
from opsbook.engine.procedure import Plan, PlannedStep, Step, StepKind
from opsbook.engine.waiting import items_of

HIDDEN = frozenset({"timeout", "sensitive", "ok", "component"})
"""Keys of effects that say how a change is watched, not what it does."""


def shown(change: Json) -> list[str]:
    """What a change does, in lines."""
    effect = change["effect"]
    make = {"argv": _argv, "sql": _sql, "http": _http}.get(change["kind"])
    return make(effect) if make and isinstance(effect, dict) else _pairs(effect)


def evidence(change: Json) -> str:
    """What was seen while it was planned, in one line."""
    found = change.get("evidence")
    return "" if found in (None, {}, []) else _line(found)


def way_back(change: Json) -> str:
    """Its undo in one line, or why there is none."""
    inverse = change["inverse"]
    return inverse if isinstance(inverse, str) else "; ".join(shown(inverse))


def as_commands(plan: Plan) -> str:
    """The plan as a shell script to be read and run by hand. Secrets stand as variables, and nothing is guarded."""
    lines = [f"# {plan.procedure.title} ({plan.procedure.name}), {plan.environment}, plan {plan.digest[:12]}"]
    planned = {one.step: one for one in plan.steps}
    for number, step in enumerate(plan.procedure.steps, 1):
        lines += ["", f"# {number}. {step.title} [{step.risk}]", *_commands(step, planned[step.id])]
    return "\n".join(lines) + "\n"


def _commands(step: Step, planned: PlannedStep) -> Iterator[str]:
    if step.kind is StepKind.PERSON:
        yield from (f"#    by hand: {item}" for item in items_of(step))
        return
    if planned.deferred or planned.skipped:
        yield f"#    {planned.deferred or planned.skipped}"
        yield from (f"#    {line}" for line in _pairs(step.body))
        return
    if not planned.changes:
        yield from (f"#    look: {line}" for line in _pairs(step.body))
    for change in planned.changes:
        yield from _command(change)


def _command(change: Json) -> Iterator[str]:
    effect = change["effect"]
    if change["kind"] == "argv":
        yield from _argv(effect)
    elif change["kind"] == "sql":
        variable = str(effect["component"]).upper().replace("-", "_") + "_URL"
        values = [f"-v {name}={shlex.quote(_text(value))}" for name, value in effect.get("parameters", {}).items()]
        yield " ".join([f'psql -X -v ON_ERROR_STOP=1 "${variable}"', *values, "<<'SQL'"])
        yield from _psql(effect)
        yield "SQL"
    elif change["kind"] == "http":
        headers = [f"-H {shlex.quote(f'{name}: {_text(text)}')}" for name, text in effect.get("headers", {}).items()]
        body = [f"--data-binary {shlex.quote(_text(effect['body']))}"] if effect.get("body") else []
        target = shlex.quote(_text(effect["url"]))
        yield " ".join(["curl -sS --fail-with-body", "-X", effect["method"], *headers, *body, target])
    else:
        yield from (f"#    {line}" for line in [f"{change['kind']}:", *_pairs(effect)])


def _psql(effect: Json) -> Iterator[str]:
    statements = effect["statement"] if isinstance(effect["statement"], list) else [effect["statement"]]
    for statement in statements:
        for name in effect.get("parameters", {}):
            statement = statement.replace(f"%({name})s", f":'{name}'")
        for name, reference in effect.get("secrets", {}).items():
            statement = statement.replace(f"%({name})s", f"/* {reference} */ :'{name}'")
        text = statement.replace("%%", "%") if effect.get("parameters") else statement
        yield text if text.rstrip().endswith(";") else f"{text};"


def _argv(effect: Json) -> list[str]:
    words = [f"{name}={shlex.quote(_text(value))}" for name, value in effect.get("env", {}).items()]
    words += [f'{name}="{reference}"' for name, reference in effect.get("secrets", {}).items()]
    command = " ".join([*words, shlex.join(effect["argv"])])
    inside = f"cd {shlex.quote(effect['workdir'])} && " if effect.get("workdir") else ""
    return (inside + command).splitlines()


def _sql(effect: Json) -> list[str]:
    statements = effect["statement"] if isinstance(effect["statement"], list) else [effect["statement"]]
    lines = [line for statement in statements for line in statement.strip().splitlines()]
    values = {**effect.get("parameters", {}), **effect.get("secrets", {})}
    return [*lines, *([f"with {_line(values)}"] if values else [])]


def _http(effect: Json) -> list[str]:
    lines = [f"{effect['method']} {_text(effect['url'])}"]
    lines += [f"{name}: {_text(text)}" for name, text in effect.get("headers", {}).items()]
    return [*lines, *(_text(effect["body"]).splitlines() if effect.get("body") else [])]


def _pairs(effect: Json) -> list[str]:
    if not isinstance(effect, dict):
        return [_line(effect)]
    told = {key: value for key, value in effect.items() if key not in HIDDEN and value not in (None, "", [], {})}
    return [f"{key}: {_line(value)}" for key, value in told.items()]


def _line(value: Json) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_line(one)}" for key, one in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(value: Json) -> str:
    """A text that may have secrets in it: those stand as their references."""
    if isinstance(value, list):
        return "".join(part if isinstance(part, str) else str(part.get("secret", "")) for part in value)
    return str(value)
