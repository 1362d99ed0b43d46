"""journalctl and systemd: times that they refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_BARE_SPAN = re.compile(
    r"(?:\d+\s*(?:s|sec|seconds?|m|min|minutes?|h|hr|hours?|d|days?|w|weeks?|months?|y|years?)\s*)+"
)


@rule(
    "OB343",
    "journal-time-refused",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="journalctl --since with a span instead of a point in time",
    reason=(
        "--since and --until take a point in time. A bare span such as 24h is refused with “Failed to parse "
        "timestamp”; it needs a sign or “ago”."
    ),
    source="https://www.freedesktop.org/software/systemd/man/latest/systemd.time.html",
    bad=sh('journalctl -u api --since "24h"'),
    good=sh('journalctl -u api --since "24h ago"\njournalctl -u api --since -1h\njournalctl --since yesterday'),
)
def journal_time_refused(context: Context) -> Iterator[Fault]:
    """Spans without sign, “ago” or “left”."""
    for step in context.calls("journalctl"):
        call = step.call
        assert call is not None
        for told in call.values("-S", "--since", "-U", "--until"):
            if _BARE_SPAN.fullmatch(told.strip()):
                yield Fault(step.place, f"“{told}” is no point in time: refused", Fix(f"“{told} ago”"))
