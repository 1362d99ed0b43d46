"""What is shown of incidents: one look at the store, the same for every face."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from opsbook.book.catalogue import Risk
from opsbook.book.system import System
from opsbook.store import actions, evidence, messages, run_lists
from opsbook.store import incidents as store
from opsbook.store.actions import Action
from opsbook.store.evidence import Evidence
from opsbook.store.incidents import Event, Incident
from opsbook.store.messages import MessageRow
from opsbook.watch import escalation
from opsbook.watch.clocks import Clock, clocks, update_due
from opsbook.watch.incident_facts import pages, where_of

Json = dict[str, Any]


@dataclass(frozen=True)
class View:
    """An incident with all that belongs to it."""

    incident: Incident
    clocks: tuple[Clock, ...]
    events: tuple[Event, ...]
    alerts: tuple[Json, ...]
    messages: tuple[MessageRow, ...]
    evidence: tuple[Evidence, ...]
    actions: tuple[Action, ...]
    next_page: float | None
    update_due: float | None

    def as_json(self) -> Json:
        """For `--format json` and the API."""
        return {
            **summary(self.incident, self.clocks),
            "next_page": self.next_page,
            "update_due": self.update_due,
            "path": [
                {"level": rung.level, "notify": rung.notify, "within": rung.within.total_seconds()}
                for rung in escalation.from_text(self.incident.path)
            ],
            "timeline": [
                {"at": one.at, "actor": one.actor, "kind": one.kind, "text": one.text} for one in self.events
            ],
            "alerts": list(self.alerts),
            "messages": [
                {
                    "key": one.key, "kind": one.kind, "target": one.target, "channel": one.channel, "state": one.state,
                    "made_at": one.made_at, "delivered_at": one.delivered_at, "attempts": one.attempts,
                    "receipt": one.receipt or None, "error": one.error or None,
                }
                for one in self.messages
            ],
            "evidence": [
                {"name": one.name, "at": one.at, "sha256": one.sha256, "error": one.error or None}
                for one in self.evidence
            ],
            "actions": [vars(one) for one in self.actions],
        }  # fmt: skip


def view_of(connection: Connection, system: System, one: Incident, now: datetime) -> View:
    """An incident as it stands now."""
    told = set(messages.told(connection, one.id, "page")) | set(messages.told(connection, one.id, "practice"))
    due = update_due(system.model, one)
    return View(
        one,
        tuple(clocks(system.model, one, now)),
        tuple(sorted([*store.timeline(connection, one.id), *ran(connection, one, now)], key=lambda event: event.at)),
        tuple(_alert(row._mapping) for row in store.alerts_of(connection, one.id)),
        tuple(messages.of_incident(connection, one.id)),
        tuple(evidence.of_incident(connection, one.id)),
        tuple(actions.of_incidents(connection, [one.id])),
        None if one.over else pages(system, one, told, now)[1],
        due.timestamp() if due else None,
    )


def ran(connection: Connection, one: Incident, now: datetime) -> Iterator[Event]:
    """A line of the timeline for each change that was made while it went on, by whomever."""
    end = one.resolved_at or now.timestamp()
    for run in run_lists.between(connection, one.system, one.environment, one.opened_at, end + 1):
        began = run.started_at or run.requested_at
        if run.risk == Risk.READ or not one.opened_at <= began <= end:
            continue
        told = f"ran {run.procedure} ({run.id}): {run.state}"
        yield Event(one.id, began, run.requester, "run", told)


def listed(
    connection: Connection,
    system: System,
    now: datetime,
    *,
    open_only: bool = False,
    limit: int | None = 50,
    after: tuple[bool, float, str] | None = None,
) -> list[tuple[Incident, tuple[Clock, ...]]]:
    """The newest incidents of an environment with their clocks; those that are not over first, however old they are.

    `after` is as `store.incidents.page` has it.
    """
    found = store.page(connection, where_of(system), limit=limit, open_only=open_only, after=after)
    return [(one, tuple(clocks(system.model, one, now))) for one in found]


def summary(one: Incident, running: tuple[Clock, ...] = ()) -> Json:
    """A line of a list of incidents."""
    return {
        "id": one.id,
        "kind": one.kind,
        "title": one.title,
        "severity": one.severity or None,
        "state": one.state,
        "environment": one.environment,
        "component": one.component or None,
        "procedure": one.procedure or None,
        "assignee": one.assignee or None,
        "roles": one.people,
        "opened_by": one.opened_by,
        "opened_at": one.opened_at,
        "acknowledged_at": one.acknowledged_at,
        "acknowledged_by": one.acknowledged_by or None,
        "mitigated_at": one.mitigated_at,
        "resolved_at": one.resolved_at,
        "resolved_by": one.resolved_by or None,
        "merged_into": one.merged_into or None,
        "reopened": one.reopened,
        "postmortem": one.postmortem or None,
        "clocks": [
            {
                "name": clock.name, "promised": clock.promised.total_seconds(), "used": clock.used.total_seconds(),
                "deadline": clock.deadline.timestamp(), "standing": clock.standing,
            }
            for clock in running
        ],
    }  # fmt: skip


def _alert(row: Any) -> Json:
    names = ("id", "source", "check_id", "component", "phase", "state", "title", "sentence", "since", "resolved_at")
    return {name: row[name] for name in names} | {"labels": json.loads(row["labels"] or "{}")}
