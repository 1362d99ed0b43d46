"""Fills the values of a step in: parameters, saved results and facts become data of its effect, never code of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from opsbook.book.catalogue import OperationSpec
from opsbook.book.references import VARIABLE, SecretReference
from opsbook.book.system import System
from opsbook.connectors.change import Change, Json
from opsbook.connectors.runtimes.contract import Runtime, Verb
from opsbook.engine.expressions import ExpressionError, Secret, evaluate, names_of
from opsbook.engine.http_values import READS, fill_request
from opsbook.engine.procedure import Step, StepKind
from opsbook.engine.promql_values import fill_query
from opsbook.engine.shell_values import LARGEST_VALUE
from opsbook.engine.sql_values import fill_statements
from opsbook.engine.templates import fill_text, text_of
from opsbook.operations.contract import MAY_HOLD_SECRETS

Filled = dict[str, Json]

SHELL = ("bash", "-euo", "pipefail", "-c")
NO_UNDO = "the step says no `undo`"
NOTHING_CHANGES = "it changes nothing"
NO_SECRETS = "hand it to a script by its environment, or to a request by its header or body"


def fill(step: Step, names: Mapping[str, Any], system: System) -> Filled:
    """The body of the step with these names: the whole effect of its change for `sh`, `sql` and `http`.

    `op` yields `operation` and `parameters`; `promql` `query`; `check` its names; `person` `text` and `items`. `names`
    are the parameters (`parameters.names_of_parameters`), the saved results by their names and again under `saved`, and
    `facts`. An undo is filled in as a step that has it for its body.

    Raises NotThere for a name without a value yet, ExpressionError for a value that cannot stand where it would.
    """
    try:
        return _FILL[step.kind](step, step.body, names, system)
    except ExpressionError as error:
        raise type(error)(f"step {step.id!r} (line {step.line}): {error.message}", error.hint) from error


async def change_of(step: Step, filled: Filled, inside: tuple[Runtime, str] | None = None) -> Change:
    """The one change of an `sh`, `sql` or `http` step. A command inside a workload needs the runtime and its name."""
    if step.kind is StepKind.SQL:
        return Change("sql", filled, inverse=NO_UNDO if filled["write"] else NOTHING_CHANGES)
    if step.kind is StepKind.HTTP:
        return Change("http", filled, inverse=NOTHING_CHANGES if filled["method"] in READS else NO_UNDO)
    assert step.kind is StepKind.SH, f"a step of the kind {step.kind} is not one change"
    if not step.on:
        return Change("argv", filled, inverse=NO_UNDO)
    assert inside is not None, "a command inside a workload needs the runtime"
    runtime, workload = inside
    change = await runtime.change(workload, Verb.EXEC, filled)
    return Change(change.kind, change.effect, change.evidence, change.guard, NO_UNDO)


def _sh(step: Step, body: Mapping[str, Any], names: Mapping[str, Any], _: System) -> Filled:
    env: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for variable, expression in body["values"].items():
        value = evaluate(expression, names)
        if isinstance(value, Secret):
            secrets[variable] = value.reference
        else:
            env[variable] = _shell_value(variable, expression, value, body)
    for entry in step.env:
        name, equals, reference = entry.partition("=")
        secrets[name] = reference if equals else f"${{{name}}}"
    argv = [*SHELL, body["program"]]
    if not step.on:
        return {
            "argv": argv, "env": env, "secrets": secrets, "workdir": step.workdir, "timeout": step.timeout,
            "ok": _judged(step, "exit"), "sensitive": step.sensitive,
        }  # fmt: skip
    # By the environment of the child, never by an argv: everybody on the host can read that.
    given = {name: values for name, values in (("env", env), ("secrets", secrets)) if values}
    return {"argv": argv, "timeout": step.timeout, **given}


def _shell_value(variable: str, expression: str, value: Any, body: Mapping[str, Any]) -> str:
    text = text_of(value, expression)
    place = f"{{{{ {expression} }}}}"
    if "\0" in text:
        raise ExpressionError(f"{place} holds a NUL character, which no shell word can", "remove it from the value")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ExpressionError(f"{place} is not valid text (a lone surrogate)", "give it as UTF-8") from None
    if size > LARGEST_VALUE:
        raise ExpressionError(
            f"{place} has {size:,} bytes; a shell word takes at most {LARGEST_VALUE:,}",
            "put it into a file, and name that",
        )
    if variable in body["numbers"] and (not isinstance(value, int) or isinstance(value, bool)):
        raise ExpressionError(f"{place} is not a whole number, and bash calculates with it", "write {{ name | int }}")
    if variable in body["words"] and text.startswith("-"):
        raise ExpressionError(
            f"the value of {place} begins with `-`, which its command would read as an option: {text[:40]!r}",
            "write `--` before it in the script, or --option={{ value }}",
        )
    return text


def _sql(step: Step, body: Mapping[str, Any], names: Mapping[str, Any], _: System) -> Filled:
    return {
        "component": step.on, **fill_statements(body["statements"], names), "write": body["write"],
        "timeout": step.timeout, "sensitive": step.sensitive,
    }  # fmt: skip


def _http(step: Step, body: Mapping[str, Any], names: Mapping[str, Any], _: System) -> Filled:
    return {
        "component": step.on, **fill_request(body, names), "timeout": step.timeout, "ok": _judged(step, "status"),
        "sensitive": step.sensitive,
    }  # fmt: skip


def _op(_: Step, body: Mapping[str, Any], names: Mapping[str, Any], system: System) -> Filled:
    spec = system.book.catalogue.operations[body["operation"]]
    able = may_hold_secrets(spec)
    given = {name: fill_tree(one, names, references=name in able) for name, one in body["parameters"].items()}
    for name in given:
        if name not in able and holds_secret(given[name]):
            others = f"; {' and '.join(sorted(able))} may" if able else ""
            raise ExpressionError(f"{spec.name}: {name} cannot hold a secret{others}", NO_SECRETS)
    try:
        parameters = spec.parameters.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        place = f"{spec.name}: {where}" if where else spec.name
        raise ExpressionError(f"{place}: {message}", f"see `opsbook operations {spec.name}`") from None
    component = str(getattr(parameters, "of", ""))
    if component and component not in system.components:
        raise ExpressionError(f"{spec.name}: there is no component {component!r}", "give the name of one of the book")
    return {"operation": spec.name, "parameters": given}


def _promql(step: Step, body: Mapping[str, Any], names: Mapping[str, Any], _: System) -> Filled:
    return {"component": step.on, "query": fill_query(body["query"], names), "timeout": step.timeout}


def _check(_: Step, body: Mapping[str, Any], __: Mapping[str, Any], ___: System) -> Filled:
    return dict(body)


def _person(_: Step, body: Mapping[str, Any], names: Mapping[str, Any], __: System) -> Filled:
    items = [text_of(fill_text(item, names)) for item in body["items"]]
    return {"text": text_of(fill_text(body["text"], names)), "items": items}


def fill_tree(value: Json, names: Mapping[str, Any], *, references: bool = False) -> Any:
    """Plain data with the templates of its texts filled in. A secret as a whole value becomes a `SecretReference`; with
    `references` also a text that the author wrote as one. What a template yields is never read as a reference.
    """
    if isinstance(value, dict):
        return {key: fill_tree(one, names, references=references) for key, one in value.items()}
    if isinstance(value, list):
        return [fill_tree(one, names, references=references) for one in value]
    if not isinstance(value, str):
        return value
    if "{{" not in value:
        return SecretReference(value.strip()) if references and is_reference(value) else value
    filled = fill_text(value, names)
    return SecretReference(filled.reference) if isinstance(filled, Secret) else filled


def is_reference(text: str) -> bool:
    """Whether a text as a whole is a reference: `${NAME}`, `file:PATH`, `cmd:PROGRAM`."""
    text = text.strip()
    return bool(VARIABLE.fullmatch(text) or re.match(r"(file|cmd):\s*\S", text))


def holds_secret(value: Any) -> bool:
    """Whether a secret is somewhere in plain data."""
    if isinstance(value, dict | list):
        return any(holds_secret(one) for one in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, SecretReference)


def may_hold_secrets(spec: OperationSpec) -> frozenset[str]:
    """The parameters of an operation that may be a secret or have one in them, as a fence names them."""
    fields = spec.parameters.model_fields.items()
    return frozenset(field.alias or name for name, field in fields if field.json_schema_extra == MAY_HOLD_SECRETS)


def _judged(step: Step, name: str) -> str:
    """Who judges the exit code or status: `expect` where it reads it, else the executor."""
    return "any" if step.expect and name in names_of(step.expect) else "good"


_FILL = {
    StepKind.SH: _sh,
    StepKind.SQL: _sql,
    StepKind.HTTP: _http,
    StepKind.OP: _op,
    StepKind.PROMQL: _promql,
    StepKind.CHECK: _check,
    StepKind.PERSON: _person,
}
