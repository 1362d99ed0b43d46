"""The desk of alerts: what becomes of an alert when a source says how a thing is now.

`decide` is pure, one thing at a time. `take_in` decides for many in one transaction, and hands what turned to the
incidents' part. The rules:

- A thing that is not ok is *pending*, and *firing* when it stayed so for its `hold`. Pending ones go without a word at
  the first ok.
- It is as bad as it was for all of its `hold`: what fires as a warning is critical when it was critical for so long.
- What a check measures is well when it was well twice running; what others tell (a job, Alertmanager) at once.
- Missing data takes nothing back: a critical alert stays critical, also a pending one, and an ok before it no longer
  counts.
- What another fault explains does not fire by itself. When that fault is gone and it is still bad, it is looked at
  again from then on, with its own `hold`.
- Flapping: `FLAPS` changes within `FLAP_WINDOW` hold it firing at its worst, told once, until it was calm for
  `CALM`.
- The clock may be set back: what was counted of a time stays counted, and nothing turns by that alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.store import alerts as store
from opsbook.store.silences import covering_many
from opsbook.watch.alert_rows import as_row, from_row
from opsbook.watch.contract import Alert, Became, Phase, Respond, Signal, Turn
from opsbook.watch.subjects import Subjects

FLAP_WINDOW = timedelta(minutes=30)
"""Half an hour of to and fro is one story for the one who is paged."""
FLAPS = 6
"""Bad three times and well three times in that window: a fourth page would say nothing new."""
CALM = timedelta(minutes=15)
"""Without a change for half the window it no longer flaps."""

RANK = {State.OK: 0, State.WARNING: 1, State.UNKNOWN: 2, State.CRITICAL: 3}
"""What cannot be seen is worse than a warning, and better than what is surely broken."""

Decided = tuple[Alert | None, Turn | None]


def decide(known: Alert | None, signal: Signal, silence: str, now: datetime, seed: str = "") -> Decided:
    """What a thing's alert becomes (None: it has none), and how it turned.

    `known` is its open alert, or the last one where that was resolved within `FLAP_WINDOW`. `silence` is the id of the
    silence that covers it now, or empty. `seed` keeps ids of equal things in different systems apart.

    Invariants: a turn is FIRING, WORSE or BETTER only where no silence covers it; what has a cause never begins to
    fire; an alert never resolves without an ok; the same signal again changes nothing.
    """
    past, known = (known, None) if known is not None and known.phase is Phase.RESOLVED else (None, known)
    if known is None:
        return (None, None) if signal.state is State.OK else _first(past, signal, silence, seed)
    if now < known.seen_at:
        known = _set_back(known, known.seen_at - now)
    if signal.at < known.seen_at:
        return known, None  # old news
    if known.phase is Phase.PENDING:
        return _pending(known, signal, silence)
    return _firing(known, signal, silence)


def _first(past: Alert | None, signal: Signal, silence: str, seed: str) -> Decided:
    """A thing that turned bad. `past` is its alert that was resolved lately."""
    begun = f"{seed}\n{signal.fingerprint}\n{signal.at.timestamp():.6f}\n{past.id if past else ''}"
    alert = Alert(
        id=hashlib.blake2b(begun.encode(), digest_size=8).hexdigest(),
        fingerprint=signal.fingerprint,
        source=signal.source,
        phase=Phase.PENDING,
        state=signal.state,
        title=signal.title,
        since=_began(past, signal),
        seen_at=signal.at,
        at_least=_at_least({}, signal),
        changes=_changes(past.changes if past else (), signal.at),
    )
    alert = _told(alert, signal)
    return _fire(alert, signal, silence) if _held(alert, signal) else (alert, None)


def _began(past: Alert | None, signal: Signal) -> datetime:
    """When it turned bad by its source's account; not before it was well for the last time."""
    well = past.resolved_at if past is not None else None
    began = signal.since or signal.at
    return min(max(began, well or began), signal.at)


def _pending(alert: Alert, signal: Signal, silence: str) -> Decided:
    if signal.state is State.OK:
        return None, None
    explained = bool(alert.cause) and not signal.cause
    # What explained it is gone. It may be on its way up too: it gets its time from now, and one more look.
    known = dict.fromkeys(alert.at_least, signal.at) if explained else alert.at_least
    lasting = _at_least(known, signal)
    alert = _told(replace(alert, state=_worst(lasting), seen_at=signal.at, at_least=lasting), signal)
    if explained:
        return replace(alert, since=signal.at), None
    return _fire(alert, signal, silence) if _held(alert, signal) else (alert, None)


def _held(alert: Alert, signal: Signal) -> bool:
    return not signal.cause and _lasted(alert, signal) is not State.OK


def _at_least(known: Mapping[State, datetime], signal: Signal) -> dict[State, datetime]:
    """Since when it has been at least as bad as each state, now that the signal says how it is."""
    unseen = signal.state is State.UNKNOWN
    return {
        state: known.get(state, signal.at)
        for state, rank in RANK.items()
        if 0 < rank <= RANK[signal.state] or (unseen and state in known)
    }


def _worst(states: Iterable[State]) -> State:
    return max(states, key=lambda state: RANK[state])


def _lasted(alert: Alert, signal: Signal) -> State:
    """The worst that it has been for all of its time; ok where it was nothing for so long."""
    return _worst([State.OK, *(state for state, at in alert.at_least.items() if signal.at - at >= signal.hold)])


def _fire(alert: Alert, signal: Signal, silence: str) -> Decided:
    fired = replace(alert, phase=Phase.FIRING, state=_lasted(alert, signal), fired_at=signal.at, silenced_by=silence)
    alert = _flaps(fired, signal.at)
    return alert, Turn(alert, Became.SILENCED if silence else Became.FIRING, signal.at)


def _firing(alert: Alert, signal: Signal, silence: str) -> Decided:
    if signal.state is State.OK:
        return _well(alert, signal, silence)
    before = alert
    alert = _told(replace(alert, seen_at=signal.at, at_least=_at_least(alert.at_least, signal)), signal)
    another = not before.flapping and signal.state not in (_worst(before.at_least or [before.state]), State.UNKNOWN)
    changed = before.well_since is not None or another
    if changed:
        alert = replace(alert, well_since=None, changes=_changes(alert.changes, signal.at))
    alert = _flaps(alert, signal.at)
    lasted = _lasted(alert, signal)
    worse = RANK[lasted] > RANK[before.state]
    # Of a thing that flaps or cannot be seen the worst that is known stays.
    keeps = alert.flapping or signal.state is State.UNKNOWN
    if worse:
        alert = replace(alert, state=lasted)
    elif not keeps and RANK[signal.state] < RANK[before.state]:
        alert = replace(alert, state=signal.state)
    if heard := _heard(alert, silence, signal.at):
        return heard
    if alert.silenced_by or alert.state is before.state:
        return alert, None
    return alert, Turn(alert, Became.WORSE if worse else Became.BETTER, signal.at)


def _well(alert: Alert, signal: Signal, silence: str) -> Decided:
    first = alert.well_since is None
    changes = _changes(alert.changes, signal.at) if first else alert.changes
    since = alert.well_since or signal.at
    alert = replace(alert, seen_at=signal.at, well_since=since, changes=changes, at_least={})
    alert = _flaps(alert, signal.at)
    twice = signal.source != "check" or signal.at > since
    if twice and not alert.flapping:
        silenced = alert.silenced_by or silence
        over = replace(_told(alert, signal), phase=Phase.RESOLVED, resolved_at=signal.at, silenced_by=silenced)
        return over, Turn(over, Became.RESOLVED, signal.at)
    return _heard(alert, silence, signal.at) or (alert, None)


def _heard(alert: Alert, silence: str, at: datetime) -> Decided | None:
    """A silence that begins or ends over a firing alert; None where nothing of that happens."""
    if bool(silence) == bool(alert.silenced_by):
        return (replace(alert, silenced_by=silence), None) if silence != alert.silenced_by else None
    if not silence and alert.well_since is not None:
        return None  # it is on its way up: told only if it turns bad again
    alert = replace(alert, silenced_by=silence)
    return alert, Turn(alert, Became.SILENCED if silence else Became.HEARD, at)


def listen_again(alert: Alert, silence: str, now: datetime) -> Decided:
    """What a silence that began or ended does to an alert, without its source having said anything new."""
    if alert.phase is not Phase.FIRING:
        return alert, None
    return _heard(alert, silence, now) or (alert, None)


def _flaps(alert: Alert, at: datetime) -> Alert:
    recent = tuple(one for one in alert.changes if at - one <= FLAP_WINDOW)
    if not alert.flapping:
        return replace(alert, changes=recent, flapping=len(recent) >= FLAPS)
    calm = not alert.changes or at - alert.changes[-1] >= CALM
    return replace(alert, flapping=not calm, changes=() if calm else recent or alert.changes[-1:])


def _changes(before: Sequence[datetime], at: datetime) -> tuple[datetime, ...]:
    return (*(one for one in before if timedelta(0) <= at - one <= FLAP_WINDOW), at)[-FLAPS:]


def _told(alert: Alert, signal: Signal) -> Alert:
    """The alert with what its source says now."""
    return replace(
        alert,
        title=signal.title,
        sentence=signal.sentence,
        shown=signal.shown,
        check=signal.check,
        component=signal.component,
        cause=signal.cause,
        severity=signal.severity,
        procedure=signal.procedure,
        notify=signal.notify,
        hold=signal.hold,
        labels=signal.labels,
    )


def _set_back(alert: Alert, by: timedelta) -> Alert:
    """The clock was set back: all moments move with it, so that what was counted stays counted."""

    def moved(moment: datetime | None) -> datetime | None:
        return None if moment is None else moment - by

    return replace(
        alert,
        since=alert.since - by,
        seen_at=alert.seen_at - by,
        fired_at=moved(alert.fired_at),
        well_since=moved(alert.well_since),
        at_least={state: at - by for state, at in alert.at_least.items()},
        changes=tuple(one - by for one in alert.changes),
    )


def take_in(
    connection: Connection, system: System, signals: Iterable[Signal], now: datetime, respond: Respond
) -> list[Turn]:
    """Decide for all signals in the transaction of the connection, and let incidents be made of what turned.

    Deciding again for the same signals changes nothing. What comes of it is in the rows when the transaction is.
    """
    told = list(signals)
    desk = _Desk(connection, _where(system), now)
    desk.read(told)
    silent = covering_many(connection, desk.where, now.timestamp())
    for signal in told:
        desk.settle(
            signal.fingerprint,
            lambda known, signal=signal: decide(  # type: ignore[misc]
                known, signal, silent.of(signal.check, signal.component), now, desk.seed
            ),
        )
    return desk.close(system, respond)


def reconsider(connection: Connection, system: System, now: datetime, respond: Respond) -> list[Turn]:
    """What becomes of the open alerts where silences began or ended, and where what they are about is gone."""
    desk = _Desk(connection, _where(system), now)
    desk.read_open()
    silent = covering_many(connection, desk.where, now.timestamp())
    subjects = Subjects(system, now)
    for alert in [one for one in desk.now.values() if one is not None]:
        gone = subjects.over(alert)
        covered = silent.of(alert.check, alert.component)
        desk.settle(
            alert.fingerprint,
            lambda known, gone=gone, covered=covered: (  # type: ignore[misc]
                _withdrawn(known, gone, now) if gone else listen_again(known, covered, now)
            ),
        )
    return desk.close(system, respond)


def _withdrawn(alert: Alert, why: str, now: datetime) -> Decided:
    """What it is about is not there any more: nobody will ever say that it is well."""
    if alert.phase is Phase.PENDING:
        return None, None
    over = replace(alert, phase=Phase.RESOLVED, resolved_at=now, sentence=why)
    return over, Turn(over, Became.RESOLVED, now)


def _where(system: System) -> dict[str, str]:
    return {"system": system.model.system, "environment": system.name}


@dataclass
class _Desk:
    """The alerts that one transaction is about: read in one go, settled in memory, written in one go."""

    connection: Connection
    where: Mapping[str, str]
    at: datetime
    now: dict[str, Alert | None] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    _before: dict[str, Alert] = field(default_factory=dict)
    """The stored open ones by id."""
    _over: dict[str, Alert] = field(default_factory=dict)
    """Those that were resolved here, by id."""

    @property
    def seed(self) -> str:
        return f"{self.where['system']}\n{self.where['environment']}"

    def read_open(self) -> None:
        self._keep(store.open_ones(self.connection, self.where))

    def read(self, signals: Sequence[Signal]) -> None:
        self._keep(store.open_ones(self.connection, self.where, {one.fingerprint for one in signals}))
        bad = {one.fingerprint for one in signals if one.state is not State.OK} - set(self.now)
        if bad:
            since = (self.at - FLAP_WINDOW).timestamp()
            for row in store.lately_resolved(self.connection, self.where, bad, since):
                self.now[row["fingerprint"]] = from_row(row)

    def _keep(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            alert = from_row(row)
            self.now[alert.fingerprint] = self._before[alert.id] = alert

    def settle(self, fingerprint: str, how: Callable[[Any], Decided]) -> None:
        known = self.now.get(fingerprint)
        alert, turn = how(known)
        if alert is None and known is not None and known.phase is Phase.RESOLVED:
            return
        self.now[fingerprint] = alert
        if alert is not None and alert.phase is Phase.RESOLVED:
            self._over[alert.id] = alert
        if turn is not None:
            self.turns.append(turn)

    def close(self, system: System, respond: Respond) -> list[Turn]:
        """Write what changed, and let incidents be made of it."""
        after = {one.id: one for one in self.now.values() if one is not None}
        after |= {id: one for id, one in self._over.items() if id not in after}
        gone = [id for id in self._before if id not in after]
        changed = [one for id, one in after.items() if id in self._before and one != self._before[id]]
        new = [one for id, one in after.items() if id not in self._before and self._is_new(one)]
        store.discard(self.connection, gone)
        # Those that end first: what is open is unique by its key.
        changed.sort(key=lambda one: one.phase is not Phase.RESOLVED)
        store.save(self.connection, [], [self._row(one) for one in changed])
        store.save(self.connection, [self._row(one) for one in new], [])
        if self.turns:
            respond(self.connection, system, self.turns, self.at)
        return self.turns

    def _is_new(self, alert: Alert) -> bool:
        """Whether it came here; else it is one that was resolved before and is only remembered."""
        return alert.phase is not Phase.RESOLVED or alert.id in self._over

    def _row(self, alert: Alert) -> dict[str, Any]:
        return {**self.where, **as_row(alert, self.where)}
