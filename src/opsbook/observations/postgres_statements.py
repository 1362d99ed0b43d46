"""Statements that take long on the average (extension pg_stat_statements, whose columns were renamed in 1.8)."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.observations.postgres_sql import sql_observation

EXECUTION = {
    "mean": {0: "mean_time", 108: "mean_exec_time"},
    "total": {0: "total_time", 108: "total_exec_time"},
    "longest": {0: "max_time", 108: "max_exec_time"},
}


class SlowParameters(Parameters):
    mean_above: Duration = Field(timedelta(milliseconds=100), description="mean time from which a statement is slow")
    calls: int = Field(5, ge=1, description="statements that ran less often are left out")


sql_observation(
    "postgres.slow_queries",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           (json_agg(json_build_object('mean_ms', round({mean}::numeric, 1), 'max_ms', round({longest}::numeric, 1),
                                       'calls', calls, 'total_s', round(({total} / 1000)::numeric, 1),
                                       'rows', rows, 'query', left(query, 1000))
                     ORDER BY {mean} DESC) FILTER (WHERE rank <= 20)) AS detail
      FROM (SELECT *, row_number() OVER (ORDER BY {mean} DESC) AS rank
              FROM {schema}.pg_stat_statements
             WHERE {mean} > extract(epoch FROM %(mean_above)s::interval) * 1000 AND calls >= %(calls)s
               AND query NOT LIKE '%%opsbook */%%'
               AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())) AS s
    """,
    words=EXECUTION,
    extension="pg_stat_statements",
    sees_all=True,
    parameters=SlowParameters,
    cost=Cost.MODERATE,
    doc="Statements of this database whose mean time since the last reset is above `mean_above`, the slowest first.",
)

sql_observation(
    "postgres.slowest_query",
    Dimension.DURATION,
    """
    SELECT {mean} / 1000 AS value,
           json_build_object('calls', calls, 'max_ms', round({longest}::numeric, 1),
                             'query', left(query, 1000)) AS detail
      FROM {schema}.pg_stat_statements
     WHERE calls >= %(calls)s AND query NOT LIKE '%%opsbook */%%'
       AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
     ORDER BY {mean} DESC LIMIT 1
    """,
    words=EXECUTION,
    extension="pg_stat_statements",
    sees_all=True,
    parameters=SlowParameters,
    cost=Cost.MODERATE,
    doc="Mean time of the slowest statement of this database that ran at least `calls` times.",
)
