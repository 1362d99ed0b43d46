"""Incidents and their timeline, as rows. Everything works in the transaction that is handed in."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Text,
    bindparam,
    case,
    cast,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from opsbook.store.history import IDS_A_STATEMENT, batched
from opsbook.store.watch_tables import alerts, incident_events, incidents

OVER = ("resolved", "merged")
GOING = ("open", "acknowledged", "mitigated")
MOST_NEAR = 100
LONGEST_LOOK = 600.0
"""Seconds after which an incident is looked at again in any case."""


@dataclass(frozen=True)
class Incident:
    """An incident as it is stored. Times are UTC seconds since 1970."""

    id: str
    system: str
    environment: str
    group_key: str
    open_key: str | None
    kind: str
    title: str
    severity: str
    state: str
    component: str
    procedure: str
    assignee: str
    roles: str
    path: str
    acknowledged_by: str
    resolved_by: str
    merged_into: str
    opened_by: str
    postmortem: str
    opened_at: float
    acknowledged_at: float | None = None
    mitigated_at: float | None = None
    resolved_at: float | None = None
    well_since: float | None = None
    updated_at: float | None = None
    reopened: int = 0
    rounds: int = 0
    round_at: float | None = None
    clocks_from: float | None = None
    look_at: float | None = None

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def people(self) -> dict[str, str]:
        """Role → who took it."""
        return dict(json.loads(self.roles)) if self.roles else {}


@dataclass(frozen=True)
class Event:
    """One line of a timeline."""

    incident: str
    at: float
    actor: str
    kind: str
    text: str
    detail: str = ""
    key: str | None = None


def add(connection: Connection, one: Incident) -> None:
    """Store a new incident."""
    connection.execute(insert(incidents).values(vars(one)))


def change(connection: Connection, incident: str, *, only_in: Iterable[str] = (), **values: Any) -> bool:
    """Change one; with `only_in` only where it is in one of these states. False where nothing was changed."""
    statement = update(incidents).where(incidents.c.id == incident)
    if states := list(only_in):
        statement = statement.where(incidents.c.state.in_(states))
    # What changes is looked at anew.
    return connection.execute(statement.values({"look_at": None, **values})).rowcount > 0


def to_look_at(connection: Connection, where: Mapping[str, str], now: float) -> list[Incident]:
    """Those that are not over and at which it is time to look, oldest first.

    Also those whose moment is further away than it ever is set: the clock was set back since.
    """
    look = incidents.c.look_at
    query = _here(select(incidents), where).where(incidents.c.state.in_(GOING))
    found: dict[str, Incident] = {}
    # One after the other, so that each is a range of the index.
    for due in (look.is_(None), look <= now, look > now + LONGEST_LOOK):
        found |= {one.id: one for one in _incidents(connection, query.where(due))}
    return sorted(found.values(), key=lambda one: (one.opened_at, one.id))


def look_again(connection: Connection, moments: Sequence[tuple[Incident, float]]) -> None:
    """Say when it is time to look at incidents again; not of those that somebody has changed since they were read."""
    if moments:
        same = (incidents.c.id == bindparam("which")) & (func.coalesce(incidents.c.look_at, 0) == bindparam("before"))
        later = update(incidents).where(same).values(look_at=bindparam("moment"))
        rows = [{"which": one.id, "before": one.look_at or 0.0, "moment": at} for one, at in moments]
        connection.execute(later, rows)


def next_look(connection: Connection, where: Mapping[str, str]) -> float | None:
    """When it is time to look at the next one; None where none goes on, 0 where one has just changed."""
    look, state = incidents.c.look_at, incidents.c.state
    changed = _here(select(incidents.c.id), where).where(state.in_(GOING), look.is_(None)).exists()
    # The first of each state is the end of a range of the index, however many there are.
    first = [_here(select(func.min(look)), where).where(state == one).scalar_subquery() for one in GOING]
    row = connection.execute(select(changed, *first)).one()
    return 0.0 if row[0] else min((float(one) for one in row[1:] if one is not None), default=None)


def of_id(connection: Connection, incident: str) -> Incident | None:
    """The incident of this id."""
    row = connection.execute(select(incidents).where(incidents.c.id == incident)).first()
    return Incident(**row._mapping) if row else None


def of_ids(connection: Connection, ids: Collection[str]) -> dict[str, Incident]:
    """The incidents of these ids."""
    found: dict[str, Incident] = {}
    for some in batched(sorted(ids), IDS_A_STATEMENT):
        query = select(incidents).where(incidents.c.id.in_(some))
        found |= {one.id: one for one in _incidents(connection, query)}
    return found


def named(connection: Connection, text: str) -> list[Incident]:
    """Those whose id is this text, or begins or ends with it."""
    if exact := of_id(connection, text):
        return [exact]
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    alike = or_(incidents.c.id.like(f"{escaped}%", escape="\\"), incidents.c.id.like(f"%{escaped}", escape="\\"))
    return _incidents(connection, select(incidents).where(alike).order_by(incidents.c.opened_at).limit(20))


def open_ones(connection: Connection, where: Mapping[str, str]) -> list[Incident]:
    """Those that are not over, oldest first."""
    return _incidents(
        connection,
        _here(select(incidents), where)
        .where(incidents.c.state.not_in(OVER))
        .order_by(incidents.c.opened_at, incidents.c.id),
    )


def page(
    connection: Connection,
    where: Mapping[str, str],
    *,
    after: tuple[bool, float, str] | None = None,
    limit: int | None = 50,
    open_only: bool = False,
) -> list[Incident]:
    """Those that go on, then those that are over; each newest first; all of them where `limit` is None. `after` is the
    last one of the page before: whether it is over, when it was opened, and its id.
    """
    found: list[Incident] = []
    opened, id = incidents.c.opened_at, incidents.c.id
    for over in (False,) if open_only else (False, True):
        left = None if limit is None else limit - len(found)
        if (after is not None and over < after[0]) or left == 0:
            continue
        query = _here(select(incidents), where)
        query = query.where(incidents.c.state.in_(OVER) if over else incidents.c.state.not_in(OVER))
        if after is not None and over == after[0]:
            query = query.where((opened < after[1]) | ((opened == after[1]) & (id < after[2])))
        found += _incidents(connection, query.order_by(opened.desc(), id.desc()).limit(left))
    return found


def concerned(
    connection: Connection,
    where: Mapping[str, str],
    keys: Collection[str],
    ids: Collection[str],
    components: Collection[str],
    since: float,
) -> list[Incident]:
    """Those that are not over and have one of these group keys or ids, or were opened since a moment and are of one of
    these components; oldest first."""
    query = _here(select(incidents), where).where(incidents.c.state.not_in(OVER))
    found: dict[str, Incident] = {}
    for some in batched(sorted({*components} - {""}), IDS_A_STATEMENT):
        young = query.where(
            incidents.c.opened_at >= since, incidents.c.component.in_(some), incidents.c.component != ""
        )
        found |= {one.id: one for one in _incidents(connection, young.order_by(incidents.c.opened_at).limit(MOST_NEAR))}
    for column, wanted in ((incidents.c.group_key, keys), (incidents.c.id, ids)):
        for some in batched(sorted(wanted), IDS_A_STATEMENT):
            found |= {one.id: one for one in _incidents(connection, query.where(column.in_(some)))}
    return sorted(found.values(), key=lambda one: (one.opened_at, one.id))


def without_line(
    connection: Connection, where: Mapping[str, str], kind: str, since: float, limit: int, severities: Sequence[str]
) -> list[Incident]:
    """Those that go on, began or were reopened since a moment, are not for practice and have no line of this kind in
    this round: none of the key `KIND|ID|ROUND`. In the order of these severities, the oldest of each first."""
    key = literal(f"{kind}|") + incidents.c.id + "|" + cast(incidents.c.rounds, Text)
    begun = func.coalesce(incidents.c.round_at, incidents.c.opened_at) > since
    query = _here(select(incidents), where).where(
        incidents.c.state.not_in(OVER), incidents.c.kind != "practice", begun,
        ~exists().where(incident_events.c.key == key),
    )  # fmt: skip
    ranks = {severity: rank for rank, severity in enumerate(severities)}
    rank = case(ranks, value=incidents.c.severity, else_=len(ranks)) if ranks else literal(0)
    return _incidents(connection, query.order_by(rank, incidents.c.opened_at, incidents.c.id).limit(limit))


def unwritten(
    connection: Connection, where: Mapping[str, str], severities: Sequence[str], since: float, until: float
) -> list[Incident]:
    """Those of these severities that were resolved between two moments and have no post-mortem."""
    if not severities:
        return []
    query = _here(select(incidents), where).where(
        incidents.c.severity.in_(severities), incidents.c.state == "resolved", incidents.c.postmortem == "",
        incidents.c.kind != "practice", incidents.c.resolved_at > since, incidents.c.resolved_at <= until,
    )  # fmt: skip
    return _incidents(connection, query)


def ids_like(connection: Connection, beginning: str) -> set[str]:
    """The ids that begin so."""
    query = select(incidents.c.id).where(incidents.c.id.startswith(beginning, autoescape=True))
    return set(connection.execute(query).scalars())


def last_resolved(
    connection: Connection, where: Mapping[str, str], keys: Collection[str], since: float
) -> dict[str, Incident]:
    """Of each group key the incident that was resolved last, not before `since`."""
    found: dict[str, Incident] = {}
    for some in batched(sorted(keys), IDS_A_STATEMENT):
        query = _here(select(incidents), where).where(
            incidents.c.group_key.in_(some), incidents.c.state == "resolved", incidents.c.resolved_at >= since
        )
        for one in _incidents(connection, query.order_by(incidents.c.resolved_at)):
            found[one.group_key] = one
    return found


def tell(connection: Connection, events: Sequence[Event]) -> int:
    """Put lines into timelines; one whose key is there already is not told again. Returns how many are new."""
    keyed = [one.key for one in events if one.key]
    known = known_keys(connection, keyed)
    rows = []
    for one in events:
        if one.key is None or one.key not in known:
            rows.append(vars(one))
            known.add(one.key or "")
    if rows:
        connection.execute(insert(incident_events), rows)
    return len(rows)


def known_keys(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Which of these keys are in a timeline already."""
    known: set[str] = set()
    for some in batched(keys, IDS_A_STATEMENT):
        found = connection.execute(select(incident_events.c.key).where(incident_events.c.key.in_(some))).scalars()
        known.update(key for key in found if key)
    return known


def timeline(connection: Connection, incident: str) -> list[Event]:
    """The lines of an incident, in their order."""
    columns = [incident_events.c[name] for name in Event.__dataclass_fields__]
    query = select(*columns).where(incident_events.c.incident == incident)
    return [
        Event(**row._mapping) for row in connection.execute(query.order_by(incident_events.c.at, incident_events.c.id))
    ]


def events_of(connection: Connection, ids: Collection[str], kind: str) -> set[str]:
    """Which of these incidents have a line of this kind."""
    found: set[str] = set()
    for some in batched(sorted(ids), IDS_A_STATEMENT):
        query = select(incident_events.c.incident).where(
            incident_events.c.incident.in_(some), incident_events.c.kind == kind
        )
        found.update(connection.execute(query).scalars())
    return found


def keys_of(connection: Connection, beginning: str) -> set[str]:
    """The keys of timeline lines that begin so."""
    query = select(incident_events.c.key).where(incident_events.c.key.startswith(beginning, autoescape=True))
    return {key for key in connection.execute(query).scalars() if key}


def attach(connection: Connection, alert_ids: Sequence[str], incident: str) -> None:
    """Say to which incident alerts belong."""
    for some in batched(alert_ids, IDS_A_STATEMENT):
        connection.execute(update(alerts).where(alerts.c.id.in_(some)).values(incident=incident))


def move_alerts(connection: Connection, incident: str, into: str) -> None:
    """All alerts of one incident belong to another from now on."""
    connection.execute(update(alerts).where(alerts.c.incident == incident).values(incident=into))


def still_bad(connection: Connection, ids: Collection[str]) -> set[str]:
    """Which of these incidents have an alert that fires and is not silenced."""
    found: set[str] = set()
    for some in batched(sorted(ids), IDS_A_STATEMENT):
        query = select(alerts.c.incident).where(
            alerts.c.incident.in_(some), alerts.c.phase == "firing", alerts.c.silenced_by == ""
        )
        found.update(connection.execute(query.distinct()).scalars())
    return found


def answered(connection: Connection, ids: Collection[str]) -> set[str]:
    """Which of these incidents somebody has acknowledged, or are over."""
    found: set[str] = set()
    for some in batched(sorted(one for one in ids if one), IDS_A_STATEMENT):
        done = incidents.c.state.in_(OVER) | incidents.c.acknowledged_at.is_not(None)
        found.update(connection.execute(select(incidents.c.id).where(incidents.c.id.in_(some), done)).scalars())
    return found


def over_of(connection: Connection, ids: Collection[str]) -> set[str]:
    """Which of these incidents are over."""
    found: set[str] = set()
    for some in batched(sorted(one for one in ids if one), IDS_A_STATEMENT):
        query = select(incidents.c.id).where(incidents.c.id.in_(some), incidents.c.state.in_(OVER))
        found.update(connection.execute(query).scalars())
    return found


def alerts_of(connection: Connection, incident: str, limit: int = 200) -> list[Row[Any]]:
    """Its alerts, oldest first."""
    query = select(alerts).where(alerts.c.incident == incident).order_by(alerts.c.since, alerts.c.id)
    return list(connection.execute(query.limit(limit)).all())


def count_alerts(connection: Connection, incident: str) -> int:
    """How many alerts it has or had."""
    return int(connection.execute(select(func.count()).where(alerts.c.incident == incident)).scalar() or 0)


@dataclass(frozen=True)
class Ended:
    """How the alerts of an incident came to be no longer told: well, silent but still bad, or not measured any more."""

    well: int
    silent: int
    unseen: tuple[str, ...]
    """Why nobody says any more how those are."""


def alerts_ended(connection: Connection, incident: str) -> Ended:
    """How many of its alerts ended in which way."""
    mine, over = alerts.c.incident == incident, alerts.c.phase == "resolved"
    counts = [
        func.count().filter(over, alerts.c.well_since.is_not(None)),
        func.count().filter(~over, alerts.c.silenced_by != ""),
    ]
    found = connection.execute(select(*counts).where(mine)).one()
    gone = select(alerts.c.sentence).where(mine, over, alerts.c.well_since.is_(None)).limit(MOST_NEAR)
    return Ended(int(found[0]), int(found[1]), tuple(connection.execute(gone).scalars()))


def incident_of(connection: Connection, where: Mapping[str, str], fingerprints: Collection[str]) -> dict[str, str]:
    """Fingerprint of an alert that is not resolved → its incident."""
    found: dict[str, str] = {}
    for some in batched(sorted(fingerprints), IDS_A_STATEMENT):
        query = select(alerts.c.fingerprint, alerts.c.incident).where(
            alerts.c.system == where["system"], alerts.c.environment == where["environment"],
            alerts.c.fingerprint.in_(some), alerts.c.phase != "resolved", alerts.c.incident != "",
        )  # fmt: skip
        found |= {row.fingerprint: row.incident for row in connection.execute(query)}
    return found


def _here(query: Select[Any], where: Mapping[str, str]) -> Select[Any]:
    return query.where(incidents.c.system == where["system"], incidents.c.environment == where["environment"])


def _incidents(connection: Connection, query: Select[Any]) -> list[Incident]:
    return [Incident(**row._mapping) for row in connection.execute(query)]
