"""Tables of one PostgreSQL database: dead rows, bloat, vacuum, scans (pg_stat_user_tables)."""

from __future__ import annotations

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Size
from opsbook.observations.postgres_sql import sql_observation


class TableParameters(Parameters):
    table: str = Field("", description="one table, `name` or `schema.name`; all tables of the database where left out")


class DeadParameters(TableParameters):
    rows: int = Field(1000, ge=1, description="tables with fewer rows, live and dead, are left out")


CHOSEN = "(%(table)s = '' OR relname = %(table)s OR schemaname || '.' || relname = %(table)s)"
"""The tables that the parameter `table` means."""
MISSING = "CASE WHEN %(table)s <> '' AND count(*) = 0 THEN 'there is no table ' || %(table)s END"
TABLES = {"chosen": CHOSEN, "missing": MISSING}

sql_observation(
    "postgres.dead_tuples",
    Dimension.COUNT,
    """
    SELECT coalesce(max(n_dead_tup), 0) AS value, {missing} AS failure,
           (json_agg(json_build_object('table', schemaname || '.' || relname, 'dead', n_dead_tup, 'live', n_live_tup,
                                       'last_vacuum', greatest(last_vacuum, last_autovacuum))
                     ORDER BY n_dead_tup DESC) FILTER (WHERE rank <= 10 AND n_dead_tup > 0)) AS detail
      FROM (SELECT *, row_number() OVER (ORDER BY n_dead_tup DESC) AS rank FROM pg_stat_user_tables WHERE {chosen}) AS t
    """,
    words=TABLES,
    parameters=TableParameters,
    warning="> 10000",
    doc="Dead rows of the table that has most of them, or of `table`.",
)

sql_observation(
    "postgres.dead_ratio",
    Dimension.RATIO,
    """
    SELECT coalesce(max(ratio) FILTER (WHERE n_live_tup + n_dead_tup >= %(rows)s), 0) AS value, {missing} AS failure,
           (json_agg(json_build_object('table', schemaname || '.' || relname, 'dead', n_dead_tup, 'live', n_live_tup,
                                       'ratio', round(ratio::numeric, 3)) ORDER BY ratio DESC)
              FILTER (WHERE rank <= 10 AND n_dead_tup > 0)) AS detail
      FROM (SELECT *, coalesce(n_dead_tup::float8 / nullif(n_live_tup + n_dead_tup, 0), 0) AS ratio,
                   row_number() OVER (ORDER BY n_dead_tup::float8 / nullif(n_live_tup + n_dead_tup, 0) DESC NULLS LAST)
                       AS rank
              FROM pg_stat_user_tables WHERE {chosen}) AS t
    """,
    words=TABLES,
    parameters=DeadParameters,
    warning="> 20%",
    doc="Dead rows as a share of all rows, of the table where it is greatest.",
)

sql_observation(
    "postgres.autovacuum_age",
    Dimension.DURATION,
    """
    SELECT max(extract(epoch FROM now() - vacuumed)) AS value, {missing} AS failure,
           json_agg(json_build_object('table', schemaname || '.' || relname, 'vacuumed', vacuumed, 'dead', n_dead_tup)
                    ORDER BY vacuumed NULLS FIRST) FILTER (WHERE rank <= 10) AS detail,
           count(*) FILTER (WHERE vacuumed IS NULL) || ' of ' || count(*) || ' tables never vacuumed' AS message
      FROM (SELECT *, row_number() OVER (ORDER BY vacuumed NULLS FIRST) AS rank
              FROM (SELECT *, greatest(last_vacuum, last_autovacuum) AS vacuumed FROM pg_stat_user_tables
                     WHERE {chosen} AND (%(table)s <> '' OR n_live_tup + n_dead_tup >= %(rows)s)) AS v) AS t
    """,
    words=TABLES,
    parameters=DeadParameters,
    doc="Time since the table that has waited longest was vacuumed, by hand or by autovacuum. Tables that never were "
    "have no age; the message counts them.",
)

sql_observation(
    "postgres.analyze_age",
    Dimension.DURATION,
    """
    SELECT max(extract(epoch FROM now() - analyzed)) AS value, {missing} AS failure,
           count(*) FILTER (WHERE analyzed IS NULL) || ' of ' || count(*) || ' tables never analyzed' AS message
      FROM (SELECT greatest(last_analyze, last_autoanalyze) AS analyzed FROM pg_stat_user_tables
             WHERE {chosen} AND (%(table)s <> '' OR n_live_tup + n_dead_tup >= %(rows)s)) AS t
    """,
    words=TABLES,
    parameters=DeadParameters,
    doc="Time since the planner's statistics of the table that has waited longest were gathered.",
)


class ScanParameters(Parameters):
    larger_than: Size = Field(10e6, description="tables smaller than this are rightly read whole")
    scans: int = Field(100, ge=1, description="tables that were read whole less often are left out")


sql_observation(
    "postgres.missing_indexes",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           json_agg(json_build_object('table', schemaname || '.' || relname,
                                      'seq_scans', seq_scan, 'index_scans', idx_scan,
                                      'rows_per_scan', seq_tup_read / seq_scan, 'bytes', pg_relation_size(relid))
                    ORDER BY seq_tup_read DESC) AS detail
      FROM pg_stat_user_tables
     WHERE seq_scan >= %(scans)s AND seq_scan > coalesce(idx_scan, 0) AND pg_relation_size(relid) > %(larger_than)s
    """,
    parameters=ScanParameters,
    doc="Large tables that are read whole more often than by an index since the statistics were reset: "
    "an index may be missing.",
)


class BloatParameters(TableParameters):
    larger_than: Size = Field(1e6, description="tables smaller than this are left out")


# The rows a page holds follow from the average widths that ANALYZE found (pg_stats), the 23 bytes of a tuple header and
# its null bitmap, aligned to 8 bytes, a line pointer of 4 bytes, and a page header of 24 bytes; what the table takes
# beyond the pages that its rows need at its fillfactor is bloat. Source: PostgreSQL's manual, "Database Page Layout".
sql_observation(
    "postgres.bloat",
    Dimension.RATIO,
    """
    WITH tables AS (
        SELECT c.oid, n.nspname AS schemaname, c.relname, c.reltuples, c.relpages,
               pg_relation_size(c.oid) AS bytes, current_setting('block_size')::int AS page,
               coalesce(substring(array_to_string(c.reloptions, ' ') FROM 'fillfactor=([0-9]+)')::int, 100) AS fill
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'r' AND c.reltuples > 0 AND n.nspname NOT IN ('pg_catalog', 'information_schema')
           AND {chosen} AND pg_relation_size(c.oid) > %(larger_than)s
    ), widths AS (
        SELECT t.oid, sum((1 - s.null_frac) * s.avg_width) AS data, count(s.attname) AS known,
               bool_or(s.null_frac > 0) AS nulls, count(*) AS columns
          FROM tables t
          JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_stats s ON s.schemaname = t.schemaname AND s.tablename = t.relname AND s.attname = a.attname
                               AND NOT s.inherited
         GROUP BY t.oid
    ), needed AS (
        SELECT t.*, w.known = w.columns AS estimated,
               ceil(t.reltuples * (4 + ceil((23 + CASE WHEN w.nulls THEN (7 + w.columns) / 8 ELSE 0 END) / 8.0) * 8
                                     + ceil(w.data / 8.0) * 8)
                    / ((t.page - 24) * t.fill / 100.0)) * t.page AS bytes_needed
          FROM tables t JOIN widths w USING (oid)
    ), found AS (
        SELECT *, greatest(0, bytes - bytes_needed) / bytes AS ratio,
               row_number() OVER (ORDER BY bytes - bytes_needed DESC NULLS LAST) AS rank
          FROM needed WHERE estimated
    )
    SELECT coalesce(max(ratio), 0) AS value,
           json_agg(json_build_object('table', schemaname || '.' || relname, 'bytes', bytes,
                                      'bloat_bytes', greatest(0, bytes - bytes_needed)::int8,
                                      'ratio', round(ratio::numeric, 3))
                    ORDER BY rank) FILTER (WHERE rank <= 10) AS detail,
           (SELECT count(*) FILTER (WHERE estimated) || ' of ' || count(*) || ' tables could be estimated' FROM needed)
               AS message,
           CASE WHEN count(*) = 0 AND EXISTS (SELECT FROM needed)
                THEN 'no table could be estimated: run ANALYZE, and let the role read the tables (pg_read_all_data)' END
               AS failure
      FROM found
    """,
    words={"chosen": CHOSEN.replace("schemaname", "n.nspname")},
    parameters=BloatParameters,
    cost=Cost.MODERATE,
    warning="> 50%",
    doc="Estimated share of a table's file that its rows would not need, of the table where it is greatest. From the "
    "planner's statistics: as good as the last ANALYZE, and only of tables that the role may read.",
)
