"""Changes by hand of what a repository describes: the controller takes them back, or Git tells another story."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_SYNCED = re.compile(
    r"\b(?:argo ?cd|flux(?:cd)?)\b[^.|]{0,80}\b(?:sync\w*|reconcil\w*|deploys?|keeps?|applies|roll\w* out)\b"
    r"|\b(?:synced|reconciled|deployed|kept in sync|managed) (?:automatically )?"
    r"(?:by|with|through|via) (?:argo ?cd|flux)",
    re.I,
)
_PAUSED = re.compile(
    r"sync-policy none|suspend|disable (?:the )?(?:auto|sync)|pause (?:the )?(?:auto|sync|reconcil)|"
    r"auto-?sync (?:is )?off|"
    r"commit (?:the|it|this)|revert the commit|git revert",
    re.I,
)
# The controller itself is installed and upgraded by hand.
_OF_THE_CONTROLLER = re.compile(r"\bargo-?cd\b|\bflux(?:-system)?\b")
_BY_HAND = {
    ("helm", "rollback"),
    ("helm", "upgrade"),
    ("kubectl", "rollout undo"),
    ("kubectl", "set image"),
    ("kubectl", "set env"),
    ("kubectl", "set resources"),
    ("kubectl", "edit"),
}


@rule(
    "OB368",
    "undone-by-gitops",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A change by hand of what Argo CD or Flux keeps as Git has it",
    reason=(
        "The controller compares the cluster with Git and puts its own version back, within minutes: a rollback by "
        "hand in an incident is undone while people watch it work."
    ),
    source="https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/",
    bad="Argo CD syncs the cluster from Git every three minutes.\n\n"
    + sh("kubectl rollout undo deployment/api -n shop"),
    good="Argo CD syncs the cluster from Git every three minutes.\n\n" + sh("git revert --no-edit HEAD\ngit push"),
)
def undone_by_gitops(context: Context) -> Iterator[Fault]:
    """Rollbacks, images, settings and edits where the text says that Argo CD or Flux syncs, and nothing pauses it."""
    told = next((text for _, text in context.prose if _SYNCED.search(text)), None)
    if told is None:
        return
    controller = "Flux" if re.search(r"\bflux", told, re.I) else "Argo CD"
    for step in context.steps:
        call = step.call
        if call is None or (call.tool, call.verb) not in _BY_HAND or call.has("--dry-run"):
            continue
        if _OF_THE_CONTROLLER.search(step.command.text) or _PAUSED.search(
            context.section_text(step.block.section_path)
        ):
            continue
        yield Fault(
            step.place,
            f"{controller} puts back what Git says",
            Fix("revert the commit, or pause the sync first"),
            subject=f"{call.tool} {call.verb}",
        )
