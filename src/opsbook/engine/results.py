"""What a step yields: bounded, held against what it expects, and saved for later steps. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opsbook.connectors.change import Json
from opsbook.connectors.executors.argv import as_json
from opsbook.engine.expressions import evaluate
from opsbook.engine.procedure import Procedure, Step, StepKind
from opsbook.engine.states import StepState
from opsbook.errors import OpsbookError
from opsbook.store.runs import StepRow

LARGEST_RESULT = 1_000_000
"""Characters of JSON that are kept of one result."""
OMITTED = "opsbook_omitted"


class Unexpected(OpsbookError):
    """A step did all it should, and its result is not what it expects."""

    exit_code = 1


def bounded(result: Json) -> Json:
    """The result, or a note in its place where it is too large to be kept."""
    size = len(json.dumps(result, ensure_ascii=False, default=str))
    return {OMITTED: size} if size > LARGEST_RESULT else result


def stored(step: Step, results: Sequence[Json]) -> Json:
    """What a step keeps of the results of its changes: a list of an operation, which has any number of them."""
    if step.kind is StepKind.OP:
        return {"results": list(results)}
    only = results[0]
    if step.kind is StepKind.SH and isinstance(only, dict) and isinstance(only.get("stdout"), str):
        # What runs a command inside of a workload, whichever runtime it is, only tells what was printed.
        read = as_json(only["stdout"])
        return only if read is None else {**only, "json": read}
    return only


def yielded(step: Step, kept: Json) -> Json:
    """What `expect` and later steps read of it. Of an operation always the same names: `result` is that of the only or
    last change, whose own names stand beside it, and `results` are all.
    """
    if step.kind is not StepKind.OP or not isinstance(kept, dict) or set(kept) != {"results"}:
        return kept
    results = kept["results"]
    last = results[-1] if results else None
    own = last if isinstance(last, dict) else {"value": last}
    return {**own, "result": last, "results": results}


def saved(procedure: Procedure, rows: Mapping[str, StepRow]) -> dict[str, Json]:
    """What the steps of a run have saved so far, by the name that later steps read it under."""
    found = {}
    for step in procedure.steps:
        row = rows.get(step.id)
        if row and step.save and row.result and row.state in (StepState.DONE, StepState.SKIPPED):
            found[step.save] = yielded(step, json.loads(row.result))
    return found


def concluded(step: Step, kept: Json, names: Mapping[str, Any]) -> None:
    """Raises Unexpected where the result is not what the step expects, or cannot be saved."""
    result = yielded(step, kept)
    parts = result.get("results") or [result] if isinstance(result, dict) else []
    omitted = next((one[OMITTED] for one in parts if isinstance(one, dict) and OMITTED in one), 0)
    if omitted and (step.save or step.expect):
        raise Unexpected(
            f"its result is too large ({omitted:,} characters)", "ask for less: count, or select fewer rows"
        )
    if not step.expect:
        return
    own = result if isinstance(result, dict) else {"value": result}
    try:
        held = evaluate(step.expect, {**names, "result": result, **own})
    except OpsbookError as error:
        raise Unexpected(f"`{step.expect}` cannot be judged: {error.message}", error.hint) from error
    if not held:
        raise Unexpected(f"it expects `{step.expect}`, which does not hold{_shown(step.expect, own)}")


def _shown(expect: str, names: Mapping[str, Any]) -> str:
    """The values that the expectation speaks of, where they are short."""
    told = [f"{name} = {value}" for name, value in names.items() if name in expect and len(str(value)) < 60]
    return f" ({', '.join(told)})" if told else ""
