"""Locks of a PostgreSQL server: who waits, for whom, and how often it ended in a deadlock."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.observations.postgres_sql import sql_observation


class WaitParameters(Parameters):
    older_than: Duration = Field(timedelta(0), description="counted from this time of the statement on")


sql_observation(
    "postgres.waiting_locks",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           (json_agg(json_build_object(
                'blocked_pid', w.pid, 'blocked_user', w.usename,
                'seconds', extract(epoch FROM now() - w.query_start)::int, 'blocked_query', left(w.query, 1000),
                'blocked_by', (SELECT json_agg(json_build_object(
                                    'pid', b.pid, 'user', b.usename, 'application', b.application_name,
                                    'state', b.state,
                                    'transaction_seconds', extract(epoch FROM now() - b.xact_start)::int,
                                    'query', left(b.query, 1000)))
                                 FROM pg_stat_activity b WHERE b.pid = ANY (w.blockers)))
                ORDER BY w.query_start) FILTER (WHERE rank <= 20)) AS detail
      FROM (SELECT *, pg_blocking_pids(pid) AS blockers, row_number() OVER (ORDER BY query_start) AS rank
              FROM pg_stat_activity
             WHERE wait_event_type = 'Lock' AND query_start <= now() - %(older_than)s::interval) AS w
    """,
    sees_all=True,
    parameters=WaitParameters,
    warning="> 5",
    doc="Sessions that wait for a lock, with the sessions that block each.",
)

sql_observation(
    "postgres.longest_lock_wait",
    Dimension.DURATION,
    """
    SELECT coalesce(max(extract(epoch FROM now() - query_start)), 0) AS value,
           count(*) || ' sessions wait for a lock' AS message
      FROM pg_stat_activity WHERE wait_event_type = 'Lock'
    """,
    sees_all=True,
    warning="> 30s",
    critical="> 5m",
    doc="How long the statement runs that waits longest for a lock, with its time before the wait; 0 where nobody "
    "waits.",
)

sql_observation(
    "postgres.deadlocks",
    Dimension.COUNT,
    """
    SELECT sum(deadlocks) AS value,
           json_agg(json_build_object('database', datname, 'deadlocks', deadlocks, 'since', stats_reset))
             FILTER (WHERE deadlocks > 0) AS detail
      FROM pg_stat_database
    """,
    doc='Deadlocks since the statistics were reset, in all databases. The count only grows: write "> 100% of 1h" to '
    "hear of new ones.",
)
