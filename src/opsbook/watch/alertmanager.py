"""What Alertmanager's webhook says (version 4), as signals of the watch.

An alert is one signal, named by its own fingerprint, so that the same group sent again changes nothing. Its labels
`check` and `component`, or the name that the generated rules give it, lead it to the check of the book: what opsbook
sees itself and what Prometheus sees is the same fault then, and one incident.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.errors import UsageError
from opsbook.printable import one_line
from opsbook.watch.contract import Signal
from opsbook.watch.generate.names import INCIDENT_SEVERITY, UNKNOWN, alert_name, summary_subject, where

MOST_ALERTS = 20_000
"""Of one body. Alertmanager sends a group whole; one that is larger than this names nothing that a person could see."""
LONGEST_TEXT = 2_000
"""Characters of a label or annotation that are kept."""
FIRST_YEAR = 2000
"""What began earlier than that is said by a clock that is not set."""
MOST_LABELS = 100
"""Of one alert; the rest is left out."""
CRITICAL = frozenset(
    {"critical", "page", "emergency", "disaster", "fatal", "error", "high", "p0", "p1", "sev0", "sev1"}
)
"""Values of the label `severity`, as teams write it, that need somebody now. Without the label an alert does too."""
SILENT = frozenset({"none"})
"""Alerts that only show that the way works (a watchdog): they always fire, and nobody is told."""


def _bounded(value: Any) -> Any:
    """Texts of others, cut and printable: labels come from whatever is scraped."""
    if not isinstance(value, Mapping):
        return value
    pairs = list(value.items())[:MOST_LABELS]
    return {one_line(str(name))[:LONGEST_TEXT]: one_line(str(text))[:LONGEST_TEXT] for name, text in pairs}


Texts = Annotated[dict[str, str], BeforeValidator(_bounded)]


class WebhookAlert(BaseModel):
    """One alert of a group. Unknown keys are let be: later versions may have more."""

    model_config = ConfigDict(extra="ignore")

    status: Literal["firing", "resolved"]
    labels: Texts = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)
    fingerprint: str = Field("", max_length=128)
    starts_at: datetime | None = Field(None, alias="startsAt")
    generator: str = Field("", alias="generatorURL", max_length=8_000)

    @property
    def name(self) -> str:
        """`alertmanager:` and its fingerprint; that of its labels where it brings none."""
        own = self.fingerprint or hashlib.sha256(json.dumps(self.labels, sort_keys=True).encode()).hexdigest()[:16]
        return f"alertmanager:{one_line(own)}"


class WebhookBody(BaseModel):
    """The body of a webhook of Alertmanager 0.4 and later."""

    model_config = ConfigDict(extra="ignore")

    version: Literal["4"]
    status: Literal["firing", "resolved"] = "firing"
    group_key: str = Field("", alias="groupKey", max_length=64_000)
    truncated: int = Field(0, alias="truncatedAlerts", ge=0)
    """How many alerts of the group were left out; `max_alerts: 0` of the receiver leaves none out."""
    alerts: list[WebhookAlert] = Field(max_length=MOST_ALERTS)


def read_body(body: Mapping[str, Any] | bytes | str) -> WebhookBody:
    """Raises UsageError with what is wrong where it is no such body."""
    try:
        if isinstance(body, bytes | str):
            return WebhookBody.model_validate_json(body)
        return WebhookBody.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise UsageError(
            f"this is no webhook of Alertmanager: {place}: {first['msg']}", "set up its receiver as `webhook_configs`"
        ) from error


def signals_of(body: WebhookBody | Mapping[str, Any], system: System, now: datetime) -> list[Signal]:
    """The signals of a body: each alert of this system once, as it is last said. Raises UsageError."""
    told = body if isinstance(body, WebhookBody) else read_body(body)
    here, known = where(system), _checks_by_name(system)
    signals: dict[str, Signal] = {}
    for alert in told.alerts:
        foreign = any(alert.labels.get(name, value) != value for name, value in here.items())
        if foreign or alert.labels.get("severity", "").lower() in SILENT:
            continue
        signals.pop(alert.name, None)
        signals[alert.name] = _signal(alert, system, known, now)
    return list(signals.values())


def _checks_by_name(system: System) -> dict[str, Check]:
    """By id, and by the name of the alert that is generated of it."""
    return {**{alert_name(check.id): check for check in system.checks}, **{check.id: check for check in system.checks}}


def _signal(alert: WebhookAlert, system: System, known: Mapping[str, Check], now: datetime) -> Signal:
    labels, notes = alert.labels, alert.annotations
    name = labels.get("alertname", "")
    check = known.get(labels.get("check", "")) or known.get(name)
    title = (check.title or check.id) if check else name or "an alert without a name"
    if check and name == UNKNOWN:
        title = f"{title}: no value"
    return Signal(
        fingerprint=alert.name,
        source="alertmanager",
        at=now,
        state=State.OK if alert.status == "resolved" else state_of(labels),
        title=title,
        sentence=_sentence(notes, check) or name,
        check=check.id if check else "",
        component=_component(labels, check, system),
        severity=_severity(labels, check, system),
        procedure=_procedure(notes, check, system),
        notify=check.notify if check else (),
        labels=labels,
        since=_since(alert.starts_at, now),
    )


def _since(said: datetime | None, now: datetime) -> datetime | None:
    """When it began; None where it does not say. Go writes a time that is not set as one of the year 1."""
    if said is None or said.year < FIRST_YEAR:
        return None
    return min(said if said.tzinfo else said.replace(tzinfo=UTC), now)


def _sentence(notes: Mapping[str, str], check: Check | None) -> str:
    """What it says. The summary of a generated rule begins with the check, for those who read it alone; here it stands
    beside the title."""
    said = notes.get("summary") or notes.get("description") or notes.get("message") or ""
    return said.removeprefix(summary_subject(check.title, check.of)) if check and check.title else said


def state_of(labels: Mapping[str, str]) -> State:
    """How bad an alert that fires is, by its label `severity`."""
    severity = labels.get("severity", "").lower()
    if severity == State.UNKNOWN.value:
        return State.UNKNOWN
    return State.CRITICAL if not severity or severity in CRITICAL else State.WARNING


def _component(labels: Mapping[str, str], check: Check | None, system: System) -> str:
    """The component of the book that is meant: by its own label, its check, or what others call a service."""
    named = labels.get("component", "")
    if named in system.components:
        return named
    if check is not None:
        return check.of
    workloads = {part.workload: name for name, part in system.components.items() if part.workload}
    for label in ("service", "app", "job", "workload", "deployment"):
        value = labels.get(label, "")
        if value in system.components:
            return value
        if value in workloads:
            return workloads[value]
    return ""


def _severity(labels: Mapping[str, str], check: Check | None, system: System) -> str:
    for label in (INCIDENT_SEVERITY, "severity"):
        if labels.get(label, "") in system.model.severities:
            return labels[label]
    return (check.severity or "") if check else ""


def _procedure(notes: Mapping[str, str], check: Check | None, system: System) -> str:
    """A procedure of the book: by name, or as the last word of a runbook's address."""
    address = notes.get("runbook_url") or notes.get("runbook") or ""
    word = address.partition("#")[0].partition("?")[0].rstrip("/").rpartition("/")[2].removesuffix(".md")
    for name in (notes.get("procedure", ""), word):
        if name and name.replace("-", "").replace("_", "").isalnum() and system.has_procedure(name):
            return name
    return (check.procedure or "") if check else ""
