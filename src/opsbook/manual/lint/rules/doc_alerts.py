"""Alerts and the procedures that answer them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import yml
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_RULE = """groups:
  - name: api
    rules:
      - alert: QueueStuck
        expr: queue_age_seconds > 600
        for: 5m"""


@rule(
    "OB580",
    "alert-without-procedure",
    FaultClass.DANGLING,
    Severity.HINT,
    summary="An alert that the manual says nothing else of",
    reason="Who is woken by it finds its name nowhere: no section tells what to do, no link in the alert leads to one.",
    source="https://sre.google/workbook/on-call/",
    bad=yml(_RULE),
    good=yml(_RULE) + "\n\n## When QueueStuck fires\n\nRestart the worker.",
)
def alert_without_procedure(context: Context) -> Iterator[Fault]:
    """Alerts of rule files with no runbook annotation whose name no prose and no heading has; told once."""
    said = re.sub(r"[^a-z]", "", " ".join(text for _, text in context.prose).lower())
    for manifest in context.manifests:
        root: tuple[str | int, ...] = ("spec",) if manifest.kind == "PrometheusRule" else ()
        for g, group in enumerate(manifest.get(*root, "groups") or []):
            entries = group.get("rules") if isinstance(group, dict) else None
            for r, entry in enumerate(entries if isinstance(entries, list) else []):
                name = entry.get("alert") if isinstance(entry, dict) else None
                notes = entry.get("annotations") if isinstance(entry, dict) else None
                linked = isinstance(notes, dict) and any(
                    "runbook" in str(key) or "playbook" in str(key) for key in notes
                )
                if name and not linked and re.sub(r"[^a-z]", "", str(name).lower()) not in said:
                    at = manifest.place(*root, "groups", g, "rules", r)
                    yield Fault(
                        at,
                        f"nothing says what to do when {name} fires",
                        Fix("add a section or runbook_url"),
                        subject="alerts",
                    )
