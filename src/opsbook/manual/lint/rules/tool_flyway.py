"""Flyway: migrations that do not go back, options that it does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB335",
    "flyway-goes-forward-only",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="flyway migrate as a rollback, or with an option for a dry run that it does not have",
    reason=(
        "migrate applies what is pending up to the target and never takes anything back: with an older target it does "
        "nothing and ends with 0. undo goes back. A dry run is -dryRunOutput=FILE; -dryRun is refused."
    ),
    source="https://documentation.red-gate.com/flyway/reference/commands/migrate",
    bad=sh("# Roll back to version 9\nflyway migrate -target=9"),
    good=sh("# Roll back to version 9\nflyway undo -target=9"),
)
def flyway_forward_only(context: Context) -> Iterator[Fault]:
    """migrate -target under a comment about going back; -dryRun without Output."""
    for step in context.steps:
        if step.program != "flyway" or "migrate" not in step.words:
            continue
        back = re.search(r"roll(?:ing)?[- ]?back|revert|undo|downgrade|回滚|rückgängig|revertir", step.comment, re.I)
        if back and any(word.startswith("-target") for word in step.words):
            yield Fault(step.place, "migrate never goes back: nothing is undone", Fix("flyway undo -target=…"))
        if any(re.match(r"-dryRun(?:=|$)", word) for word in step.words):
            yield Fault(step.place, "flyway has no option -dryRun", Fix("-dryRunOutput=FILE"))
