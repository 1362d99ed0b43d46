"""Replication of a PostgreSQL server: how far its standbys are behind, and what its slots hold back."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.postgres import PostgresConnector
from opsbook.connectors.postgres_session import Session
from opsbook.observations.postgres_sql import sql_observation
from opsbook.observations.registry import observation

PRIMARY = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn,
       (SELECT json_agg(json_build_object('standby', application_name, 'address', host(client_addr), 'state', state,
                                          'sync', sync_state, 'replayed', (replay_lsn - '0/0'::pg_lsn)::float8,
                                          'primary_says', extract(epoch FROM replay_lag)))
          FROM pg_stat_replication WHERE state <> 'backup'),
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
"""
REPLICA = """
SELECT pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::float8,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8,
       pg_is_in_recovery() AND pg_is_wal_replay_paused(),
       EXISTS (SELECT FROM pg_stat_wal_receiver)
"""
CATCH_UP_SECONDS = 0.5
"""A standby that reaches within this time what the primary had written is not behind; it was on its way."""
POLL_SECONDS = 0.05
REMEMBERED = 240
"""Sweeps of which the primary's position is remembered: four hours at one a minute."""


@dataclass(frozen=True)
class Position:
    """Where the primary's log ended at a moment of our own monotonic clock."""

    at: float
    lsn: float


@dataclass(frozen=True)
class Lag:
    """How far a standby is behind; `seconds` is None where nothing tells."""

    seconds: float | None
    bytes: float
    sentence: str


def lag_seconds(
    positions: Iterable[Position], replayed: float, now: float, last_commit_age: float | None
) -> float | None:
    """Upper bound of how old the standby's data are; None where nothing bounds it.

    Two bounds are known, and the smaller holds: the standby has all that the primary had written at the newest
    remembered position that it has replayed; and its last replayed commit is so old.
    """
    passed = [now - position.at for position in positions if position.lsn <= replayed]
    bounds = [*passed[-1:], *([last_commit_age] if last_commit_age is not None else [])]
    return max(0.0, min(bounds)) if bounds else None


_POSITIONS: WeakKeyDictionary[PostgresConnector, deque[Position]] = WeakKeyDictionary()


async def _primary(database: PostgresConnector) -> tuple[Position, list[dict[str, Any]]]:
    ((lsn, standbys, sees_all),) = await database.primary.read(PRIMARY)
    if not sees_all and database.replica is None:
        raise ReadFailed("the role may not see replication: GRANT pg_monitor to it, or name the `replica` in the book")
    if lsn is None:
        raise ReadFailed(f"{database.name} is in recovery and has received no WAL")
    return Position(time.monotonic(), float(lsn)), standbys or []


async def _measure(database: PostgresConnector) -> Lag:
    """The lag of the worst standby. A standby that is a moment behind gets the chance to catch up first."""
    position, standbys = await _primary(database)
    positions = _POSITIONS.setdefault(database, deque(maxlen=REMEMBERED))
    positions.append(position)
    give_up = time.monotonic() + CATCH_UP_SECONDS
    while True:
        lag = await _compare(database, position, standbys, positions)
        if lag.bytes <= 0 or time.monotonic() >= give_up:
            return lag
        await asyncio.sleep(POLL_SECONDS)
        if database.replica is None:
            _, standbys = await _primary(database)


async def _compare(
    database: PostgresConnector, position: Position, standbys: list[dict[str, Any]], positions: deque[Position]
) -> Lag:
    if database.replica is not None:
        return await _of_replica(database.replica, position, positions)
    if not standbys:
        raise ReadFailed(f"no standby is connected to {database.name}")
    now = time.monotonic()
    return max(
        (_of_standby(standby, position, positions, now) for standby in standbys),
        key=lambda lag: (lag.seconds or 0.0, lag.bytes),
    )


async def _of_replica(replica: Session, position: Position, positions: deque[Position]) -> Lag:
    ((in_recovery, replayed, commit_age, paused, receiving),) = await replica.read(REPLICA)
    if not in_recovery:
        raise ReadFailed(f"{replica.label} is no standby: it was promoted")
    if replayed is None:
        raise ReadFailed(f"{replica.label} has replayed nothing yet")
    behind = max(0.0, position.lsn - replayed)
    state = ", ".join(["replay is paused"] * paused + ["it receives no WAL"] * (not receiving)) or "it streams"
    if not behind:
        return Lag(0.0, 0.0, f"the replica has all; {state}")
    seconds = lag_seconds(positions, replayed, time.monotonic(), commit_age)
    return Lag(seconds, behind, f"the replica lacks {behind:,.0f} bytes; {state}")


def _of_standby(standby: dict[str, Any], position: Position, positions: deque[Position], now: float) -> Lag:
    name = standby["standby"] or standby["address"] or "a standby"
    if standby["replayed"] is None:
        raise ReadFailed(f"{name} is connected ({standby['state']}) and has told no position yet")
    behind = max(0.0, position.lsn - standby["replayed"])
    if not behind:
        return Lag(0.0, 0.0, f"{name} has all")
    seen = lag_seconds(positions, standby["replayed"], now, None)
    # The primary's own figure stands still while replay is paused; the first position seen bounds it from below.
    least = now - next(one.at for one in positions if one.lsn > standby["replayed"])
    seconds = max(least, seen if seen is not None else standby["primary_says"] or 0.0)
    return Lag(seconds, behind, f"{name} lacks {behind:,.0f} bytes ({standby['state']})")


@observation(
    "postgres.replication_lag",
    Dimension.DURATION,
    of="postgres",
    warning="> 1s",
    critical="> 10s",
    doc="How old the data of the standby are. 0 where it has replayed all that the primary had written when asked, or "
    "does within half a second: an idle primary is no lag. Else the age of the last commit that it replayed, or "
    "the time since the primary's log ended where the standby is now, if opsbook saw that. With `replica` the standby "
    "itself is asked, so that a paused replay and a broken stream show; without it, the primary's pg_stat_replication. "
    "Unknown where no standby is connected.",
)
async def replication_lag(database: PostgresConnector) -> Fact:
    lag = await database.once("replication", lambda: _measure(database))
    if lag.seconds is None:
        raise ReadFailed(f"{lag.sentence}; it has replayed no commit since its start, so that nothing tells since when")
    return Fact(lag.seconds, {"bytes": lag.bytes}, lag.sentence)


@observation(
    "postgres.replication_lag_bytes",
    Dimension.SIZE,
    of="postgres",
    doc="Bytes of WAL that the primary has written and the standby has not replayed, after half a second's patience.",
)
async def replication_lag_bytes(database: PostgresConnector) -> Fact:
    lag = await database.once("replication", lambda: _measure(database))
    return Fact(lag.bytes, message=lag.sentence)


sql_observation(
    "postgres.replicas",
    Dimension.COUNT,
    """
    SELECT count(*) FILTER (WHERE state = 'streaming') AS value,
           json_agg(json_build_object('standby', application_name, 'address', host(client_addr), 'state', state,
                                      'sync', sync_state, 'write_lag_s', extract(epoch FROM write_lag),
                                      'replay_lag_s', extract(epoch FROM replay_lag),
                                      'lag_bytes', CASE WHEN NOT pg_is_in_recovery()
                                                        THEN pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) END))
               AS detail
      FROM pg_stat_replication WHERE state <> 'backup'
    """,
    sees_all=True,
    doc='Standbys that stream from this server now. Say how many there should be: `critical: "< 1"`.',
)

sql_observation(
    "postgres.inactive_slots",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           json_agg(json_build_object('slot', slot_name, 'type', slot_type, 'database', database)) AS detail
      FROM pg_replication_slots WHERE NOT active AND NOT temporary
    """,
    warning="> 0",
    doc="Replication slots that nobody reads from: they keep WAL until the disk is full.",
)

sql_observation(
    "postgres.retained_wal",
    Dimension.SIZE,
    """
    SELECT coalesce(max(pg_wal_lsn_diff(here, restart_lsn)), 0) AS value,
           json_agg(json_build_object('slot', slot_name, 'active', active,
                                      'bytes', pg_wal_lsn_diff(here, restart_lsn){status})) AS detail
      FROM pg_replication_slots,
           (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS here)
               AS h
    """,
    words={"status": {0: "", 130000: ", 'wal_status', wal_status"}},
    warning="> 1GB",
    critical="> 10GB",
    doc="Bytes of WAL that the slot furthest behind holds back; 0 without slots.",
)
