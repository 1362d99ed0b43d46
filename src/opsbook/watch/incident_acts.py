"""What people do to incidents. Each act is a function for one transaction: it changes the row, writes the timeline and
the audit chain, and returns a sentence. Raises Refused where it makes no sense or is not allowed, with the reason.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.book.units import show_duration
from opsbook.book.words import nearest
from opsbook.engine.access import Actor
from opsbook.errors import Refused, UsageError
from opsbook.store import actions, audit, messages
from opsbook.store import incidents as store
from opsbook.store.incidents import Event, Incident
from opsbook.watch import escalation
from opsbook.watch.acting import act, must_be
from opsbook.watch.clocks import clocks, counted_from, moment
from opsbook.watch.grouping import more_urgent, path_for
from opsbook.watch.incident_facts import contact_of, facts_of, new_id, paged, pages, where_of
from opsbook.watch.outbox import Message, enqueue, enqueue_all
from opsbook.watch.pursuit import MOOT, resolved_messages
from opsbook.watch.waking import TELLING, wake

GOING = store.GOING
LONGEST_NOTE = 20_000


def find(connection: Connection, system: System, text: str) -> Incident:
    """The incident that a person means: its id, the beginning or end of it, or nothing where only one is open.

    Raises UsageError.
    """
    if not text:
        going = store.open_ones(connection, where_of(system))
        if len(going) == 1:
            return going[0]
        if not going:
            raise UsageError("no incident is open", "name one that is over: `opsbook incident list --all` shows them")
        raise UsageError(f"{len(going)} incidents are open; which one?", "`opsbook incident list` shows them")
    here = where_of(system)
    found = [
        one for one in store.named(connection, text) if {"system": one.system, "environment": one.environment} == here
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"there is no incident {text!r} in {system.name}", "`opsbook incident list --all` shows them")
    raise UsageError(f"{text!r} is the beginning or end of {len(found)} incidents", "write more of it")


def open_by_hand(
    connection: Connection,
    system: System,
    actor: Actor,
    title: str,
    now: datetime,
    *,
    severity: str = "",
    component: str = "",
    kind: str = "report",
    path: tuple[escalation.Rung, ...] | None = None,
) -> Incident:
    """An incident that a person reports. It pages as one that an alert opened, and ends when somebody resolves it."""
    must_be(system, actor, "responder", "open an incident")
    title = " ".join(title.split())  # one line, so that it cannot pass for two of a timeline
    if not title:
        raise UsageError("an incident needs a title", "say in a few words what is wrong")
    severity = severity or next(iter(system.model.severities), "")
    _must_be_severity(system, severity)
    if component and component not in system.components:
        raise UsageError(f"there is no component {component!r}", nearest(component, system.components))
    id = new_id(now, store.ids_like(connection, f"i{now:%y%m%d-%H%M}-"))
    rungs = path_for(system.model, severity) if path is None else path
    one = Incident(
        id=id, system=system.model.system, environment=system.name, group_key=f"{kind}:{id}",
        open_key=f"{system.name}\n{id}", kind=kind,
        title=title, severity=severity, state="open", component=component, procedure="", assignee="", roles="",
        path=escalation.as_text(rungs), acknowledged_by="", resolved_by="", merged_into="", opened_by=actor.name,
        postmortem="", opened_at=now.timestamp(), round_at=now.timestamp(),
    )  # fmt: skip
    store.add(connection, one)
    _record(connection, system, one, actor, now, "opened", f"{actor.name} opened it: {one.title}", "incident opened")
    _page(connection, system, one, now, f"{actor.name} reports: {one.title}")
    return one


def acknowledge(
    connection: Connection, system: System, one: Incident, actor: Actor, now: datetime, *, by_link: str = ""
) -> str:
    """Somebody has it: nobody further is paged. Saying it twice is no mistake. `by_link`: who a signed link is of."""
    if not by_link:
        must_be(system, actor, "responder", "acknowledge incidents")
    _must_go_on(one)
    if one.acknowledged_at is not None:
        return f"{one.id} was acknowledged by {one.acknowledged_by} already"
    changed = replace(
        one, state="acknowledged", acknowledged_at=now.timestamp(), acknowledged_by=actor.name,
        assignee=one.assignee or actor.name,
    )  # fmt: skip
    _change(connection, one, changed)
    before = f"{actor.name} acknowledged before it was sent"
    dropped = messages.drop(connection, one.id, ("page", "practice"), before)
    messages.drop(connection, one.id, ("reminder",), before, key_with="|respond|")
    clock = next((found for found in clocks(system.model, changed, now) if found.name == "respond"), None)
    took = show_duration((now - counted_from(one)).total_seconds())
    text = f"{actor.name} acknowledged after {took}" + (f" ({clock.standing})" if clock else "")
    _record(connection, system, changed, actor, now, "acknowledged", text, "incident acknowledged", link=bool(by_link))
    return (
        f"{one.id} is acknowledged by {actor.name} after {took}"
        + (f"; {clock.told}" if clock else "")
        + (f"; {dropped} page{'s' if dropped > 1 else ''} not sent any more" if dropped else "")
    )


def note(connection: Connection, system: System, one: Incident, actor: Actor, text: str, now: datetime) -> str:
    """A line of the timeline. Also of incidents that are over: what is learnt later belongs there too."""
    must_be(system, actor, "responder", "write notes")
    _record(connection, system, one, actor, now, "note", _worded(text, "a note"), "incident note")
    return f"noted in {one.id}"


def update(connection: Connection, system: System, one: Incident, actor: Actor, text: str, now: datetime) -> str:
    """A status update: noted, and told to everybody who was told of it. The reminder counts from now on."""
    must_be(system, actor, "responder", "write status updates")
    _must_go_on(one)
    worded = _worded(text, "an update")
    store.change(connection, one.id, updated_at=now.timestamp())
    _record(connection, system, one, actor, now, "update", worded, "incident update")
    targets = _told_so_far(connection, one)
    key = f"said|{one.id}|{now.timestamp():.3f}"
    enqueue(
        connection, system,
        Message(key, "update", targets, one.title, "info", f"{actor.name}: {worded}", one.id, one.severity,
                facts_of(one)),
        now,
    )  # fmt: skip
    wake(*TELLING)
    return f"{len(targets)} told of the update of {one.id}"


def assign(connection: Connection, system: System, one: Incident, actor: Actor, who: str, now: datetime) -> str:
    """Who works on it. Raises UsageError for somebody the book does not know, where it has a list."""
    must_be(system, actor, "responder", "assign incidents")
    _must_go_on(one)
    _must_be_person(system, who)
    _change(connection, one, replace(one, assignee=who))
    _record(connection, system, one, actor, now, "assigned", f"{actor.name} gave it to {who}", "incident assigned")
    if (contact := contact_of(system, who)) and who != actor.name:
        message = Message(
            f"assigned|{one.id}|{who}|{now.timestamp():.3f}", "update", (contact,), f"{one.title}: now yours", "page",
            f"{actor.name} gave {one.id} to you.", one.id, one.severity, facts_of(one),
        )  # fmt: skip
        enqueue(connection, system, message, now)
        wake(*TELLING)
    return f"{one.id} is {who}'s"


def take_role(
    connection: Connection, system: System, one: Incident, actor: Actor, role: str, who: str, now: datetime
) -> str:
    """Who takes a role in it, one of `incidents.roles` where the book names any. Without `who` it is given back."""
    must_be(system, actor, "responder", "give roles")
    _must_go_on(one)
    known = system.model.incidents.roles
    if known and role not in known:
        raise UsageError(f"there is no role {role!r}", nearest(role, known))
    if who:
        _must_be_person(system, who)
    people = {**one.people, role: who} if who else {name: one for name, one in one.people.items() if name != role}
    _change(connection, one, replace(one, roles=json.dumps(people)))
    text = f"{who} is {role}" if who else f"nobody is {role} any more"
    _record(connection, system, one, actor, now, "role", text, "incident role", role=role, who=who)
    return f"{one.id}: {text}"


def set_severity(
    connection: Connection, system: System, one: Incident, actor: Actor, severity: str, now: datetime
) -> str:
    """Assess it anew. A more urgent one that nobody has acknowledged pages along the path of its new severity."""
    must_be(system, actor, "responder", "assess incidents")
    _must_go_on(one)
    _must_be_severity(system, severity)
    if severity == one.severity:
        return f"{one.id} is {severity} already"
    changed = replace(one, severity=severity, path=escalation.as_text(path_for(system.model, severity)))
    again = one.acknowledged_at is None and more_urgent(system.model, severity, one.severity)
    if again:
        changed = replace(changed, rounds=one.rounds + 1, round_at=now.timestamp())
    _change(connection, one, changed)
    text = f"severity {one.severity or 'none'} → {severity}"
    _record(connection, system, one, actor, now, "severity", text, "incident severity", before=one.severity)
    if again:
        _page(connection, system, changed, now, f"{actor.name} raised it from {one.severity} to {severity}.")
    return f"{one.id} is {severity} now"


def mitigate(connection: Connection, system: System, one: Incident, actor: Actor, text: str, now: datetime) -> str:
    """The harm has stopped, the cause is not mended yet."""
    must_be(system, actor, "responder", "mitigate incidents")
    _must_go_on(one)
    if one.mitigated_at is not None:
        return f"{one.id} was mitigated already"
    changed = replace(one, state="mitigated", mitigated_at=now.timestamp())
    if one.acknowledged_at is None:
        changed = replace(changed, acknowledged_at=now.timestamp(), acknowledged_by=actor.name)
        messages.drop(connection, one.id, ("page",), f"{actor.name} mitigated it before this was sent")
    _change(connection, one, changed)
    told = f"mitigated{': ' + text.strip() if text.strip() else ''}"
    _record(connection, system, one, actor, now, "mitigated", told, "incident mitigated")
    return f"{one.id} is mitigated"


def resolve(connection: Connection, system: System, one: Incident, actor: Actor, text: str, now: datetime) -> str:
    """It is over. Raises Refused while an alert of it still fires and no reason is given."""
    must_be(system, actor, "responder", "resolve incidents")
    _must_go_on(one)
    if store.still_bad(connection, [one.id]) and not text.strip():
        raise Refused(
            f"an alert of {one.id} still fires", "say why it is over all the same: opsbook incident resolve ID REASON"
        )
    changed = replace(
        one, state="resolved", open_key=None, resolved_at=now.timestamp(), resolved_by=actor.name,
        acknowledged_at=one.acknowledged_at or now.timestamp(), acknowledged_by=one.acknowledged_by or actor.name,
    )  # fmt: skip
    _change(connection, one, changed)
    messages.drop(connection, one.id, MOOT, f"{actor.name} resolved it before this was sent")
    why = text.strip() or f"{actor.name} resolved it"
    enqueue_all(connection, system, resolved_messages(connection, one, why, now), now)
    told = f"{actor.name} resolved it" + (f": {text.strip()}" if text.strip() else "")
    _record(connection, system, one, actor, now, "resolved", told, "incident resolved")
    wake(*TELLING)
    lasted = show_duration(now.timestamp() - one.opened_at)
    clock = next((found for found in clocks(system.model, changed, now) if found.name == "resolve"), None)
    return f"{one.id} is resolved after {lasted}" + (f"; {clock.told}" if clock else "")


def reopen(connection: Connection, system: System, one: Incident, actor: Actor, text: str, now: datetime) -> str:
    """It was not over: everything begins again, its pages too, and nobody has it until somebody acknowledges."""
    must_be(system, actor, "responder", "reopen incidents")
    if one.state != "resolved":
        raise Refused(f"{one.id} is {one.state}", "only what was resolved can be reopened")
    where = where_of(system)
    if any(other.group_key == one.group_key for other in store.open_ones(connection, where)):
        raise Refused("the same fault has an open incident already", "merge this one: opsbook incident merge")
    changed = replace(
        one, state="open", open_key="\n".join((*where.values(), one.group_key)), assignee="", acknowledged_at=None,
        acknowledged_by="", mitigated_at=None, resolved_at=None, resolved_by="", well_since=None,
        reopened=one.reopened + 1, rounds=one.rounds + 1, round_at=now.timestamp(), clocks_from=now.timestamp(),
    )  # fmt: skip
    _change(connection, one, changed)
    told = f"{actor.name} reopened it" + (f": {text.strip()}" if text.strip() else "")
    _record(connection, system, one, actor, now, "reopened", told, "incident reopened")
    _page(connection, system, changed, now, told)
    return f"{one.id} is open again"


def merge(connection: Connection, system: System, one: Incident, actor: Actor, into: Incident, now: datetime) -> str:
    """It is the same as another: its alerts go there, and it ends."""
    must_be(system, actor, "responder", "merge incidents")
    _must_go_on(one)
    if one.id == into.id:
        raise Refused("an incident cannot be merged into itself", "name another")
    if into.over:
        raise Refused(f"{into.id} is {into.state}", "reopen it first, or merge the other way round")
    store.move_alerts(connection, one.id, into.id)
    changed = replace(one, state="merged", open_key=None, merged_into=into.id, resolved_at=now.timestamp(),
                      resolved_by=actor.name)  # fmt: skip
    _change(connection, one, changed)
    messages.drop(connection, one.id, ("page", "update", "reminder"), f"it was merged into {into.id}")
    _record(connection, system, one, actor, now, "merged", f"merged into {into.id}", "incident merged", into=into.id)
    line = Event(into.id, now.timestamp(), actor.name, "merged", f"{one.id} ({one.title}) was merged into this")
    store.tell(connection, [line])
    if more_urgent(system.model, one.severity, into.severity):
        set_severity(connection, system, into, actor, one.severity, now)
    return f"{one.id} is part of {into.id} now"


def add_action(
    connection: Connection, system: System, one: Incident, actor: Actor, text: str, owner: str, due: datetime | None,
    now: datetime,
) -> str:  # fmt: skip
    """What is to be done so that it does not come again. It stays open until somebody says that it is done."""
    must_be(system, actor, "responder", "add actions")
    worded = _worded(text, "an action")
    number = actions.add(
        connection, incident=one.id, text=worded, owner=owner, done_by="", made_at=now.timestamp(),
        due_at=due.timestamp() if due else None,
    )  # fmt: skip
    told = f"action {number}: {worded}" + (f" ({owner})" if owner else "")
    _record(connection, system, one, actor, now, "action", told, "action made", action=number)
    return told


def end_action(connection: Connection, system: System, number: int, actor: Actor, now: datetime) -> str:
    """An action is done."""
    must_be(system, actor, "responder", "end actions")
    action = actions.of_number(connection, number)
    one = store.of_id(connection, action.incident) if action else None
    # Numbers are counted over all that share the store: who may act here may not end what is asked of another system.
    if action is None or one is None or {"system": one.system, "environment": one.environment} != where_of(system):
        raise UsageError(f"there is no action {number}", "`opsbook incident actions` lists them")
    if not actions.end(connection, number, actor.name, now.timestamp()):
        return f"action {number} was done by {action.done_by} already"
    _record(connection, system, one, actor, now, "action", f"action {number} is done", "action done", action=number)
    return f"action {number} is done: {action.text}"


def _page(connection: Connection, system: System, one: Incident, now: datetime, body: str) -> None:
    made, _ = pages(system, one, set(), now, body)
    enqueue_all(connection, system, made, now)
    store.tell(connection, [replace(paged(one, message), at=now.timestamp()) for message in made])
    wake(*TELLING)


def _told_so_far(connection: Connection, one: Incident) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            target for kind in ("page", "update", "practice")
            for target in messages.told(connection, one.id, kind).values()
        )
    )  # fmt: skip


def _change(connection: Connection, before: Incident, after: Incident) -> None:
    """Raises Refused where somebody else was faster."""
    values = {name: value for name, value in vars(after).items() if value != getattr(before, name)}
    if not store.change(connection, before.id, only_in=(before.state,), **values):
        raise Refused(f"{before.id} has just changed", "look at it again: opsbook incident show")


def _record(
    connection: Connection, system: System, one: Incident, actor: Actor, now: datetime, kind: str, text: str,
    event: str, **detail: Any,
) -> None:  # fmt: skip
    store.tell(connection, [Event(one.id, now.timestamp(), actor.name, kind, text)])
    audit.append(connection, [act(system, actor, now, event, {"incident": one.id, "text": text[:200], **detail})])


def _must_go_on(one: Incident) -> None:
    if one.state == "merged":
        raise Refused(f"{one.id} was merged into {one.merged_into}", f"opsbook incident show {one.merged_into}")
    if one.state not in GOING:
        at = moment(one.resolved_at or one.opened_at)
        raise Refused(f"{one.id} was resolved at {at:%Y-%m-%d %H:%M} UTC", "reopen it: opsbook incident reopen")


def _must_be_severity(system: System, severity: str) -> None:
    if system.model.severities and severity not in system.model.severities:
        raise UsageError(f"there is no severity {severity!r}", nearest(severity, system.model.severities))


def _must_be_person(system: System, who: str) -> None:
    contacts = system.model.contacts
    users = {one.user for one in contacts.values() if one.user}
    if contacts and who not in contacts and who not in users:
        raise UsageError(f"the book has no contact {who!r}", nearest(who, [*contacts, *users]))


def _worded(text: str, what: str) -> str:
    if not text.strip():
        raise UsageError(f"{what} needs words", "write them after the incident")
    return text.strip()[:LONGEST_NOTE]


def finish_practice(connection: Connection, one: Incident, who: str, why: str, now: datetime) -> None:
    """A page for practice is over, answered or not; nobody is told."""
    _change(
        connection, one, replace(one, state="resolved", open_key=None, resolved_at=now.timestamp(), resolved_by=who)
    )
    messages.drop(connection, one.id, ("practice",), why)
    store.tell(connection, [Event(one.id, now.timestamp(), who, "resolved", why)])
