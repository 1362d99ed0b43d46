"""Commands that never end, in the middle of what should run by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_ENDLESS = re.compile(
    r"^(?:(?:tail|journalctl|dmesg)\b.*\s(?:-\w*[fFw]\b|--follow)"
    r"|(?:kubectl|docker|docker[ -]compose)\b.*\blogs\b.*\s(?:-\w*f\b|--follow)"
    r"|docker (?:stats|events)\b(?!.*--no-stream)|watch\b|h?top$"
    r"|kubectl (?:port-forward|proxy)\b|kubectl get\b.*\s(?:-w|--watch)\b)"
)


@rule(
    "OB126",
    "never-ends",
    FaultClass.UNSAFE,
    Severity.HINT,
    summary="A command that never ends, with more steps behind it",
    reason="A person presses Ctrl-C and goes on; what runs the block by itself waits for ever, and no step follows.",
    source="https://man7.org/linux/man-pages/man1/tail.1.html",
    bad=sh("#!/bin/bash\nkubectl logs -f deployment/api -n shop\nkubectl rollout status deployment/api -n shop"),
    good=sh(
        "#!/bin/bash\nkubectl logs deployment/api -n shop --since=10m\nkubectl rollout status deployment/api -n shop"
    ),
)
def never_ends(context: Context) -> Iterator[Fault]:
    """Followers, watchers and tunnels in scripts (with #!), not in the background, not under timeout, not last."""
    for block in context.scripts:
        if not block.text.lstrip().startswith("#!"):
            continue
        for step in block.top[:-1]:
            if _ENDLESS.search(step.command.text) and not _bounded(step):
                yield Fault(
                    step.place,
                    "never ends: the steps behind it are not reached",
                    Fix("leave out -f, or timeout 60 …"),
                    subject="endless",
                )


def _bounded(step: Step) -> bool:
    later = [s.program for s in step.block.pipeline(step)[step.command.position + 1 :]]
    return step.command.background or step.command.after == "&" or "head" in later or bool(step.command.within)
