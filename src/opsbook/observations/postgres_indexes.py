"""Indexes and sequences of one PostgreSQL database."""

from __future__ import annotations

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Size
from opsbook.observations.postgres_sql import sql_observation


class UnusedParameters(Parameters):
    scans_below: int = Field(100, ge=1, description="an index that was used less often counts as unused")
    larger_than: Size = Field(0, description="indexes smaller than this are left out")


sql_observation(
    "postgres.unused_indexes",
    Dimension.COUNT,
    """
    SELECT count(*) AS value,
           json_agg(json_build_object('index', i.schemaname || '.' || i.indexrelname, 'table', i.relname,
                                      'scans', i.idx_scan, 'bytes', pg_relation_size(i.indexrelid))
                    ORDER BY pg_relation_size(i.indexrelid) DESC) AS detail,
           (SELECT 'counted since ' || date_trunc('second', stats_reset)
              FROM pg_stat_database WHERE datname = current_database()) AS message
      FROM pg_stat_user_indexes i JOIN pg_index x USING (indexrelid)
     WHERE i.idx_scan < %(scans_below)s AND NOT x.indisunique AND NOT x.indisexclusion
       AND pg_relation_size(i.indexrelid) >= %(larger_than)s
    """,
    parameters=UnusedParameters,
    doc="Indexes that were used less than `scans_below` times since the statistics were reset. Unique and "
    "exclusion ones serve their constraint and do not count. Replicas count their own use apart.",
)

sql_observation(
    "postgres.invalid_indexes",
    Dimension.COUNT,
    """
    SELECT count(*) AS value, json_agg(indexrelid::regclass::text) AS detail
      FROM pg_index WHERE NOT indisvalid OR NOT indisready
    """,
    warning="> 0",
    doc="Indexes that a CREATE INDEX or REINDEX CONCURRENTLY left behind, or is building now: they cost "
    "writes and serve no read.",
)

sql_observation(
    "postgres.sequences_used",
    Dimension.RATIO,
    """
    SELECT max(used) AS value,
           json_agg(json_build_object('sequence', name, 'last_value', last_value, 'of', most,
                                      'used', round(used::numeric, 4))
                    ORDER BY used DESC) FILTER (WHERE rank <= 10) AS detail,
           CASE WHEN count(*) > 0 AND count(*) = count(*) FILTER (WHERE hidden)
                THEN 'the role may read no sequence: GRANT SELECT ON ALL SEQUENCES, or pg_read_all_data' END AS failure,
           CASE WHEN bool_or(hidden) THEN 'some sequences may not be read' END AS message
      FROM (SELECT *, last_value::float8 / most AS used,
                   row_number() OVER (ORDER BY last_value::float8 / most DESC NULLS LAST) AS rank
              FROM (SELECT s.schemaname || '.' || s.sequencename AS name, s.last_value,
                           least(s.max_value, CASE t.typname WHEN 'int2' THEN 32767 WHEN 'int4' THEN 2147483647 END)
                               AS most,
                           NOT has_sequence_privilege(c.oid, 'SELECT, USAGE') AS hidden
                      FROM pg_sequences s
                      JOIN pg_namespace n ON n.nspname = s.schemaname
                      JOIN pg_class c ON c.relname = s.sequencename AND c.relnamespace = n.oid
                      LEFT JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass
                                            AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
                      LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                      LEFT JOIN pg_type t ON t.oid = a.atttypid
                     WHERE s.increment_by > 0) AS r) AS u
    """,
    warning="> 70%",
    critical="> 90%",
    doc="How far the fullest sequence has come towards its end, or of the integer column that it fills.",
)
