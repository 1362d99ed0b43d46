"""Incidents' part in the transaction that decides: alerts that turned open, join, worsen or end incidents.

Invariants: an alert that fires and counts (`incidents.open_for`) belongs to exactly one incident that is not over; of
one group key at most one is open; what a silence covers opens nothing; deciding twice for the same turns tells nothing
twice. An incident does not end here: `pursuit` ends it when all was well for `resolve_after`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.engine.access import Actor, watch_actor
from opsbook.store import audit, messages
from opsbook.store import incidents as store
from opsbook.store.incidents import Event, Incident
from opsbook.watch import escalation, grouping
from opsbook.watch.acting import act
from opsbook.watch.contract import Alert, Became, Turn
from opsbook.watch.incident_facts import (
    OPSBOOK,
    facts_of,
    new_id,
    paged,
    pages,
    sentence_of,
    title_of,
    told_of,
    where_of,
)
from opsbook.watch.outbox import Message, enqueue_all
from opsbook.watch.suspects import suspects

TOLD_ONE_BY_ONE = 20
"""Alerts that join one incident at once and get a line of its timeline each; the others are counted."""
TITLED = 5
"""Channels that the title of their incident names; the others are in its alerts."""
FIRES = (Became.FIRING, Became.HEARD, Became.WORSE)


def respond(connection: Connection, system: System, turns: Sequence[Turn], now: datetime) -> None:
    """What comes of alerts that turned, in the transaction that decided it."""
    if not turns:
        return
    desk = _Desk(connection, system, now)
    desk.read(turns)
    for turn in turns:
        desk.take(turn)
    desk.close()


@dataclass
class _Desk:
    """The incidents that some turns are about: read once, changed in memory, written once."""

    connection: Connection
    system: System
    now: datetime
    actor: Actor = field(default_factory=lambda: watch_actor("alerts"))
    open: grouping.Going = field(default_factory=grouping.Going)
    near: dict[str, tuple[str, ...]] = field(default_factory=dict)
    before: dict[str, Incident] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)
    old: dict[str, Incident] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    acts: list[audit.Act] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)
    joined: dict[str, list[Alert]] = field(default_factory=dict)
    bodies: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    _ids: set[str] | None = None

    @property
    def at(self) -> float:
        return self.now.timestamp()

    @property
    def going(self) -> dict[str, Incident]:
        return self.open.by_id

    def read(self, turns: Sequence[Turn]) -> None:
        """Only what these turns can concern."""
        book, where = self.system.model, where_of(self.system)
        keys = {grouping.key_of(book, turn.alert) for turn in turns}
        ids = {turn.alert.incident for turn in turns if turn.alert.incident}
        causes = {turn.alert.cause for turn in turns if turn.alert.cause}
        self.causes = store.incident_of(self.connection, where, causes) if causes else {}
        since = self.at - grouping.TOGETHER.total_seconds()
        components = {turn.alert.component for turn in turns}
        self.near = {name: grouping.near(self.system, name) for name in components}
        close = {other for some in self.near.values() for other in some}
        found = store.concerned(self.connection, where, keys, ids | set(self.causes.values()), close, since)
        self.open = grouping.Going(found)
        self.before = dict(self.going)
        reopened_since = self.at - book.incidents.reopen_within.total_seconds()
        self.old = store.last_resolved(self.connection, where, keys, reopened_since)

    def take(self, turn: Turn) -> None:
        """One alert that turned."""
        alert = turn.alert
        mine = self.going.get(alert.incident)
        if turn.became in FIRES and grouping.opens(self.system.model, alert):
            self._fires(alert, mine, turn)
        elif turn.became in (Became.FIRING, Became.HEARD):
            self._only_told(alert)
        elif mine is not None:
            self._noted(mine, turn)

    def _fires(self, alert: Alert, mine: Incident | None, turn: Turn) -> None:
        near = self.near.get(alert.component, ())
        one = mine or grouping.home(self.system, alert, self.open, self.causes, near, self.now)
        severity = grouping.severity_of(self.system.model, alert)
        if one is None:
            old = self.old.pop(grouping.key_of(self.system.model, alert), None)
            one = self._reopen(old, alert) if old is not None else self._open(alert, severity)
        elif mine is None or turn.became is Became.WORSE:
            self._line(one, "worse" if mine else "alert", alert)
        else:
            self._line(one, "alert", alert)
        if grouping.more_urgent(self.system.model, severity, one.severity):
            one = self._raise(self.going[one.id], severity, alert)
        self.going[one.id] = replace(self.going[one.id], well_since=None)
        self.joined.setdefault(one.id, []).append(alert)
        self._also_told(one, alert)

    def _open(self, alert: Alert, severity: str) -> Incident:
        path = grouping.path_for(self.system.model, severity)
        key = grouping.key_of(self.system.model, alert)
        one = Incident(
            id=new_id(self.now, self._taken()),
            system=self.system.model.system,
            environment=self.system.name,
            group_key=key,
            open_key="\n".join((*where_of(self.system).values(), key)),
            kind="fault",
            title=title_of(alert),
            severity=severity,
            state="open",
            component=alert.component,
            procedure=alert.procedure,
            assignee="",
            roles="",
            path=escalation.as_text(path),
            acknowledged_by="",
            resolved_by="",
            merged_into="",
            opened_by=OPSBOOK,
            postmortem="",
            opened_at=self.at,
            round_at=self.at,
        )
        self.open.put(one)
        self.causes[alert.fingerprint] = one.id
        self._line(one, "opened", alert)
        self._act(one, "incident opened", {"alert": alert.id, "severity": severity})
        return one

    def _reopen(self, old: Incident, alert: Alert) -> Incident:
        one = replace(
            old,
            state="open",
            open_key="\n".join((old.system, old.environment, old.group_key)),
            assignee="",  # nobody has it until somebody acknowledges again
            acknowledged_at=None,
            acknowledged_by="",
            mitigated_at=None,
            resolved_at=None,
            resolved_by="",
            well_since=None,
            reopened=old.reopened + 1,
            rounds=old.rounds + 1,
            round_at=self.at,
            clocks_from=self.at,
        )
        self.open.put(one)
        self.before[one.id] = old
        self._line(one, "reopened", alert)
        self._act(one, "incident reopened", {"alert": alert.id})
        return one

    def _raise(self, one: Incident, severity: str, alert: Alert) -> Incident:
        """More urgent than it was: who has it is told; where nobody has, the path of the new severity begins."""
        path = escalation.as_text(grouping.path_for(self.system.model, severity))
        raised = replace(one, severity=severity, path=path)
        if one.acknowledged_at is None and one.severity:
            raised = replace(raised, rounds=one.rounds + 1, round_at=self.at)
        elif one.acknowledged_at is not None:
            self.bodies.setdefault(one.id, sentence_of(alert))
            self._tell(raised, f"raised|{one.id}|{severity}|{one.rounds}", f"{one.title}: now {severity}", "page")
        self.going[one.id] = raised
        self.events.append(
            Event(one.id, self.at, OPSBOOK, "severity", f"severity {one.severity or 'none'} → {severity}")
        )
        self._act(one, "incident severity", {"from": one.severity, "to": severity})
        return raised

    def _noted(self, one: Incident, turn: Turn) -> None:
        kinds = {Became.RESOLVED: "well", Became.BETTER: "better", Became.SILENCED: "silenced", Became.WORSE: "worse"}
        self._line(one, kinds.get(turn.became, "alert"), turn.alert)
        if turn.became in (Became.RESOLVED, Became.SILENCED):
            self.ended.add(one.id)

    def _only_told(self, alert: Alert) -> None:
        """Not grave enough for an incident: those who asked for it are told."""
        if alert.notify:
            subject = f"{title_of(alert)} is {alert.state}"
            key = f"alert|{alert.id}|{alert.state}|{alert.fired_at.timestamp() if alert.fired_at else 0:.3f}"
            body = sentence_of(alert)
            severity = grouping.severity_of(self.system.model, alert)
            detail = {"check": alert.check, "component": alert.component, "state": str(alert.state)}
            self.told.append(Message(key, "alert", alert.notify, subject, "warning", body, "", severity, detail))

    def _also_told(self, one: Incident, alert: Alert) -> None:
        """Those that the check or the severity names besides the path, once for each round."""
        grade = self.system.model.severities.get(one.severity)
        for target in dict.fromkeys((*alert.notify, *(grade.notify if grade else ()))):
            key = f"opened|{one.id}|{one.rounds}"
            subject = f"{one.title} — {self.system.model.title or one.system} {one.environment}"
            self.told.append(
                Message(
                    key, "update", (target,), subject, "warning", sentence_of(alert), one.id, one.severity,
                    facts_of(one),
                )
            )  # fmt: skip

    def _tell(self, one: Incident, key: str, subject: str, urgency: Any) -> None:
        told = messages.told(self.connection, one.id, "page")
        targets = tuple(dict.fromkeys(told.values())) or tuple(r.notify for r in escalation.from_text(one.path)[:1])
        body = self.bodies.get(one.id, "")
        facts = facts_of(one)
        self.told.append(Message(key, "update", targets, subject, urgency, body, one.id, one.severity, facts))

    def _line(self, one: Incident, kind: str, alert: Alert) -> None:
        told = {"opened": "", "reopened": "again: ", "alert": "also ", "worse": "worse: ", "better": "better: "}
        after = {"well": " is well", "silenced": " is silenced"}
        what = title_of(alert)
        text = told.get(kind, "") + (what + after[kind] if kind in after else told_of(alert))
        detail = json.dumps({"alert": alert.id, "check": alert.check, "component": alert.component})
        key = f"{kind}|{one.id}|{one.rounds}|{alert.id}|{alert.state}|{self.at:.3f}"
        self.events.append(Event(one.id, self.at, OPSBOOK, kind, text, detail, key))
        self.bodies.setdefault(one.id, text)

    def _act(self, one: Incident, event: str, detail: dict[str, Any]) -> None:
        self.acts.append(act(self.system, self.actor, self.now, event, {"incident": one.id, **detail}))

    def _taken(self) -> set[str]:
        if self._ids is None:
            self._ids = store.ids_like(self.connection, f"i{self.now:%y%m%d-%H%M}-")
        return self._ids

    def close(self) -> None:
        """Write all of it."""
        for id, alerts in self.joined.items():
            store.attach(self.connection, [alert.id for alert in alerts], id)
            self._name_channels(id)
        self._all_well()
        for id, one in self.going.items():
            if id not in self.before:
                store.add(self.connection, one)
                self.events += suspects(self.connection, self.system, one, self.now)
            elif one != self.before[id]:
                changed = {name: value for name, value in vars(one).items() if value != getattr(self.before[id], name)}
                store.change(self.connection, id, **changed)
        self._page()
        enqueue_all(self.connection, self.system, self.told, self.now)
        store.tell(self.connection, list(_bounded(self.events, self.at)))
        audit.append(self.connection, self.acts)

    def _name_channels(self, id: str) -> None:
        """An incident of ways that do not take messages is called by how many these are."""
        one = self.going[id]
        if one.group_key != grouping.DELIVERY:
            return
        firing = [row for row in store.alerts_of(self.connection, id) if row.phase == "firing"]
        self.going[id] = replace(one, title=channels_title({row.fingerprint: row.title for row in firing}) or one.title)

    def _all_well(self) -> None:
        """Incidents of which nothing is bad any more are well from now on."""
        ended = self.ended - set(self.joined)
        bad = store.still_bad(self.connection, ended) if ended else set()
        for id in ended - bad:
            if self.going[id].well_since is None:
                self.going[id] = replace(self.going[id], well_since=self.at)

    def _page(self) -> None:
        """The pages that are due at once: those of new ones, of reopened ones, and of those that are more severe."""
        fresh = [one for id, one in self.going.items() if id not in self.before or one.rounds != self.before[id].rounds]
        for one in fresh:
            made, _ = pages(self.system, one, set(), self.now, self.bodies.get(one.id, ""))
            self.told += made
            self.events += [replace(paged(one, message), at=self.at) for message in made]


def channels_title(titles: Mapping[str, str]) -> str:
    """How an incident of ways that do not take messages is called, of their alerts' titles by fingerprint. Pure."""
    ways = {one.partition(":")[2]: title for one, title in sorted(titles.items()) if grouping.is_of_channel(one)}
    if len(ways) < 2:
        return next(iter(ways.values()), "")
    more = f" and {len(ways) - TITLED} more" if len(ways) > TITLED else ""
    return f"{len(ways)} channels do not deliver: {', '.join(list(ways)[:TITLED])}{more}"


def _bounded(events: Sequence[Event], at: float) -> Iterator[Event]:
    """The lines; of the many that one incident gets in a storm the first ones, and how many more there were."""
    count: dict[tuple[str, str], int] = {}
    for one in events:
        group = (one.incident, one.kind)
        count[group] = count.get(group, 0) + 1
        if count[group] <= TOLD_ONE_BY_ONE:
            yield one
    for (incident, kind), number in count.items():
        if number > TOLD_ONE_BY_ONE:
            yield Event(incident, at, OPSBOOK, kind, f"… and {number - TOLD_ONE_BY_ONE} more ({kind})")
