"""Sessions of a PostgreSQL server: how many, what they do and for how long (pg_stat_activity)."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.observations.postgres_sql import sql_observation

sql_observation(
    "postgres.connections",
    Dimension.COUNT,
    """
    SELECT coalesce(sum(n), 0) AS value,
           json_agg(json_build_object('state', state, 'count', n) ORDER BY n DESC) AS detail
      FROM (SELECT coalesce(state, 'unknown') AS state, count(*) AS n
              FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1) AS s
    """,
    sees_all=True,
    doc="Client sessions in all databases of the server, opsbook's own among them.",
)

sql_observation(
    "postgres.connections_ratio",
    Dimension.RATIO,
    """
    SELECT n / max::float8 AS value, n || ' of ' || max || ', ' || reserved || ' of them kept for superusers' AS message
      FROM (SELECT count(*) AS n, current_setting('max_connections')::int AS max,
                   current_setting('superuser_reserved_connections') AS reserved
              FROM pg_stat_activity WHERE backend_type = 'client backend') AS s
    """,
    sees_all=True,
    warning="> 80%",
    critical="> 90%",
    doc="Client sessions as a share of max_connections.",
)

sql_observation(
    "postgres.active",
    Dimension.COUNT,
    """
    SELECT count(*) AS value
      FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()
    """,
    sees_all=True,
    doc="Client sessions that run a statement now, without opsbook's own.",
)


class AgeParameters(Parameters):
    older_than: Duration = Field(timedelta(minutes=5), description="counted from this age on")


sql_observation(
    "postgres.idle_in_transaction",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           (json_agg(json_build_object('pid', pid, 'user', usename, 'database', datname,
                                       'application', application_name,
                                       'seconds', extract(epoch FROM now() - state_change)::int,
                                       'last_query', left(query, 1000))
                     ORDER BY state_change) FILTER (WHERE rank <= 20)) AS detail
      FROM (SELECT *, row_number() OVER (ORDER BY state_change) AS rank
              FROM pg_stat_activity
             WHERE state LIKE 'idle in transaction%%' AND state_change < now() - %(older_than)s::interval) AS s
    """,
    sees_all=True,
    parameters=AgeParameters,
    warning="> 0",
    doc="Sessions that hold a transaction open and have done nothing in it for `older_than`: they hold locks and keep "
    "vacuum from removing dead rows.",
)

sql_observation(
    "postgres.long_queries",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           (json_agg(json_build_object('pid', pid, 'user', usename, 'database', datname,
                                       'application', application_name,
                                       'seconds', extract(epoch FROM now() - query_start)::int,
                                       'waits_for', wait_event_type || ' ' || wait_event, 'query', left(query, 1000))
                     ORDER BY query_start) FILTER (WHERE rank <= 20)) AS detail
      FROM (SELECT *, row_number() OVER (ORDER BY query_start) AS rank
              FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()
               AND query_start < now() - %(older_than)s::interval) AS s
    """,
    sees_all=True,
    parameters=AgeParameters,
    warning="> 0",
    doc="Statements of clients that have been running for `older_than`.",
)

sql_observation(
    "postgres.oldest_transaction",
    Dimension.DURATION,
    """
    SELECT coalesce(max(seconds), 0) AS value,
           (json_agg(json_build_object('pid', pid, 'user', usename, 'database', datname, 'state', state,
                                       'seconds', seconds::int, 'query', left(query, 1000))
                     ORDER BY seconds DESC) FILTER (WHERE rank <= 5)) AS detail
      FROM (SELECT *, extract(epoch FROM now() - xact_start)::float8 AS seconds,
                   row_number() OVER (ORDER BY xact_start) AS rank
              FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()) AS s
    """,
    sees_all=True,
    warning="> 15m",
    critical="> 1h",
    doc="Age of the oldest open transaction of a client; 0 where there is none. Prepared transactions are apart.",
)

sql_observation(
    "postgres.prepared_transactions",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           json_agg(json_build_object('name', gid, 'owner', owner, 'database', database, 'prepared', prepared)
                    ORDER BY prepared) AS detail
      FROM pg_prepared_xacts WHERE prepared < now() - %(older_than)s::interval
    """,
    parameters=AgeParameters,
    warning="> 0",
    doc="Two-phase transactions that were prepared and neither committed nor rolled back for `older_than`. They hold "
    "locks through restarts.",
)


class TlsParameters(Parameters):
    loopback: bool = Field(False, description="count sessions from the server's own host too")


sql_observation(
    "postgres.sessions_without_tls",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           json_agg(DISTINCT jsonb_build_object('user', usename, 'address', host(client_addr),
                                                'application', application_name)) AS detail
      FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
     WHERE backend_type = 'client backend' AND client_addr IS NOT NULL AND NOT ssl
       AND (%(loopback)s OR NOT client_addr <<= ANY (ARRAY['127.0.0.0/8', '::1/128']::inet[]))
    """,
    sees_all=True,
    parameters=TlsParameters,
    warning="> 0",
    doc="Network sessions whose traffic is not encrypted; sessions over a Unix socket never count.",
)
