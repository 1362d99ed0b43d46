"""Runs by time and place, as the watch and its reports look for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, literal, or_, select

from opsbook.store.runs import RunRow
from opsbook.store.tables import approvals, runs

LARGE = frozenset({"compiled", "plan", "parameters"})
"""Columns that a list of runs does not show."""


def going(connection: Connection, system: str, environment: str, ended: Iterable[str]) -> list[RunRow]:
    """Those that have not ended, oldest first."""
    return _read(connection, _here(system, environment) & runs.c.state.not_in([str(state) for state in ended]))


def between(connection: Connection, system: str, environment: str, begin: float, end: float) -> list[RunRow]:
    """Those that were asked for, began or ended from `begin` until just before `end`, oldest first."""
    moments = (runs.c.requested_at, runs.c.started_at, runs.c.ended_at)
    told = or_(*((moment >= begin) & (moment < end) for moment in moments))
    return _read(connection, _here(system, environment) & told)


def page(
    connection: Connection,
    system: str,
    environment: str,
    *,
    procedure: str = "",
    states: Sequence[str] = (),
    before: tuple[float, str] | None = None,
    limit: int = 50,
) -> list[RunRow]:
    """The newest runs, newest first, without their `LARGE` columns, which are empty; `before` is when the last one of
    the page before was asked for, and its id.
    """
    wanted = _here(system, environment)
    if procedure:
        wanted &= runs.c.procedure == procedure
    if states:
        wanted &= runs.c.state.in_([str(state) for state in states])
    if before is not None:
        moment, run = before
        wanted &= (runs.c.requested_at < moment) | ((runs.c.requested_at == moment) & (runs.c.id < run))
    rows = select(*_without(LARGE)).where(wanted).order_by(runs.c.requested_at.desc(), runs.c.id.desc()).limit(limit)
    return [RunRow(**row._mapping) for row in connection.execute(rows)]


def last_ended(
    connection: Connection,
    system: str,
    environment: str,
    beginnings: Sequence[str],
    states: Iterable[str],
    limit: int,
) -> list[RunRow]:
    """Those that ended in these states, of procedures whose names begin so, the last one to end first, without their
    steps and plans. A run may have waited for days before it began: when it was asked for says little here.
    """
    wanted = or_(*(runs.c.procedure.startswith(one, autoescape=True) for one in beginnings))
    wanted &= _here(system, environment) & runs.c.state.in_([str(state) for state in states])
    rows = select(*_without(LARGE - {"parameters"})).where(wanted & runs.c.ended_at.is_not(None))
    rows = rows.order_by(runs.c.ended_at.desc(), runs.c.id.desc()).limit(limit)
    return [RunRow(**row._mapping) for row in connection.execute(rows)]


def asked_by(connection: Connection, system: str, environment: str, procedure: str, words: str) -> list[RunRow]:
    """Those of a procedure whose origin holds these words, oldest first."""
    mine = (runs.c.procedure == procedure) & runs.c.origin.contains(words, autoescape=True)
    return _read(connection, _here(system, environment) & mine)


def ended_well(connection: Connection, system: str, environment: str, procedure: str, since: float) -> RunRow | None:
    """The first run of a procedure that was done since a moment, and was asked for after it too."""
    mine = (runs.c.procedure == procedure) & (runs.c.state == "done") & (runs.c.requested_at >= since)
    return next(iter(_read(connection, _here(system, environment) & mine)), None)


def newest_of(
    connection: Connection, system: str, environment: str, procedure: str, states: Iterable[str], limit: int = 20
) -> list[RunRow]:
    """The newest runs of a procedure in these states, newest first."""
    mine = _here(system, environment) & (runs.c.procedure == procedure)
    mine &= runs.c.state.in_([str(state) for state in states])
    rows = connection.execute(select(runs).where(mine).order_by(runs.c.requested_at.desc()).limit(limit))
    return [RunRow(**row._mapping) for row in rows]


def book_before(connection: Connection, system: str, environment: str, moment: float) -> str:
    """The revision of the book that the last run before a moment used; empty where there was none."""
    wanted = _here(system, environment) & (runs.c.requested_at < moment)
    query = select(runs.c.book_revision).where(wanted).order_by(runs.c.requested_at.desc()).limit(1)
    return str(connection.execute(query).scalar() or "")


def approvers(connection: Connection, run_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Run → who said yes to it, and whose yes was not void."""
    wanted = approvals.c.run.in_(list(run_ids)) & (approvals.c.void == "")
    found: dict[str, tuple[str, ...]] = {}
    for run, name in connection.execute(select(approvals.c.run, approvals.c.approver).where(wanted)):
        found[run] = (*found.get(run, ()), name) if name not in found.get(run, ()) else found[run]
    return found


def _without(names: frozenset[str]) -> list[ColumnElement[Any]]:
    return [literal("").label(one.name) if one.name in names else one for one in runs.columns]


def _here(system: str, environment: str) -> ColumnElement[bool]:
    return (runs.c.system == system) & (runs.c.environment == environment)


def _read(connection: Connection, wanted: ColumnElement[bool]) -> list[RunRow]:
    rows = connection.execute(select(runs).where(wanted).order_by(runs.c.requested_at, runs.c.id))
    return [RunRow(**row._mapping) for row in rows]
