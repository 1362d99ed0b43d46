"""How much a PostgreSQL server holds, how it is read, and how near its transaction ids are to their end."""

from __future__ import annotations

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.observations.postgres_sql import quoted, sql_observation


class DatabaseParameters(Parameters):
    database: str = Field("", description="name of a database; that of the URL where left out")


OF_DATABASE = "datname = coalesce(nullif(%(database)s, ''), current_database())"
NO_DATABASE = "CASE WHEN count(*) = 0 THEN 'there is no database ' || %(database)s END"
DATABASE = {"of_database": OF_DATABASE, "no_database": NO_DATABASE}

sql_observation(
    "postgres.database_size",
    Dimension.SIZE,
    "SELECT max(pg_database_size(oid)) AS value, {no_database} AS failure FROM pg_database WHERE {of_database}",
    words=DATABASE,
    parameters=DatabaseParameters,
    cost=Cost.MODERATE,
    doc='Bytes that a database takes on disk. Growth is seen against its own past: "> 110% of 7d".',
)

sql_observation(
    "postgres.cluster_size",
    Dimension.SIZE,
    """
    SELECT sum(bytes) AS value,
           json_agg(json_build_object('database', datname, 'bytes', bytes) ORDER BY bytes DESC) AS detail
      FROM (SELECT datname, pg_database_size(oid) AS bytes FROM pg_database WHERE datallowconn) AS d
    """,
    cost=Cost.MODERATE,
    sees_all=True,
    doc="Bytes that all databases of the server take together, without WAL.",
)


def _table_size(parameters: SizeParameters) -> str:
    if not parameters.table:
        return """
        SELECT max(bytes) AS value,
               json_agg(json_build_object('table', name, 'bytes', bytes) ORDER BY bytes DESC) AS detail
          FROM (SELECT relid::regclass::text AS name, pg_total_relation_size(relid) AS bytes
                  FROM pg_stat_user_tables ORDER BY 2 DESC LIMIT 10) AS t
        """
    name = table_name(parameters.table).replace("'", "''")
    return f"SELECT pg_total_relation_size('{name}'::regclass) AS value"


class SizeParameters(Parameters):
    table: str = Field("", description="one table, `name` or `schema.name`; the largest of the database where left out")


def table_name(written: str) -> str:
    """`name` or `schema.name` as SQL. A name that holds dots is written in double quotes, as SQL has it."""
    parts, current, inside = [], "", False
    for character in written:
        if character == '"':
            inside = not inside
        elif character == "." and not inside:
            parts.append(current)
            current = ""
            continue
        current += character
    return quoted(*(_part(part) for part in [*parts, current]))


def _part(part: str) -> str:
    if len(part) >= 2 and part[0] == part[-1] == '"':
        return part[1:-1].replace('""', '"')
    return part


sql_observation(
    "postgres.table_size",
    Dimension.SIZE,
    _table_size,
    parameters=SizeParameters,
    cost=Cost.MODERATE,
    alone=True,
    doc="Bytes of one table, or of the largest, with its indexes and TOAST. Growth is seen against its own past: "
    '"> 120% of 7d".',
)

sql_observation(
    "postgres.cache_hit_ratio",
    Dimension.RATIO,
    """
    SELECT sum(blks_hit) / nullif(sum(blks_hit + blks_read), 0)::float8 AS value, {no_database} AS failure,
           CASE WHEN sum(blks_hit + blks_read) = 0 THEN 'nothing was read since the statistics were reset'
                ELSE sum(blks_read) || ' of ' || sum(blks_hit + blks_read) || ' blocks were not in the buffers' END
               AS message
      FROM pg_stat_database WHERE {of_database}
    """,
    words=DATABASE,
    parameters=DatabaseParameters,
    warning="< 90%",
    doc="Share of block reads of a database that PostgreSQL's own buffers answered, since the statistics were reset.",
)

sql_observation(
    "postgres.temporary_bytes",
    Dimension.SIZE,
    """
    SELECT sum(temp_bytes) AS value, {no_database} AS failure, sum(temp_files) || ' files' AS message
      FROM pg_stat_database WHERE {of_database}
    """,
    words=DATABASE,
    parameters=DatabaseParameters,
    doc="Bytes of temporary files since the statistics were reset: sorts and hashes that work_mem did not hold. "
    'The figure only grows: write "> 110% of 1d" to hear of more.',
)

sql_observation(
    "postgres.rollback_ratio",
    Dimension.RATIO,
    """
    SELECT sum(xact_rollback) / nullif(sum(xact_commit + xact_rollback), 0)::float8 AS value, {no_database} AS failure,
           sum(xact_rollback) || ' rolled back, ' || sum(xact_commit) || ' committed' AS message
      FROM pg_stat_database WHERE {of_database}
    """,
    words=DATABASE,
    parameters=DatabaseParameters,
    doc="Share of transactions that were rolled back, since the statistics were reset.",
)

sql_observation(
    "postgres.checksum_failures",
    Dimension.COUNT,
    """
    SELECT sum(checksum_failures) AS value,
           json_agg(json_build_object('database', datname, 'failures', checksum_failures,
                                      'last', checksum_last_failure))
             FILTER (WHERE checksum_failures > 0) AS detail,
           CASE WHEN current_setting('data_checksums') = 'off' THEN 'data checksums are off: damage is not seen' END
               AS failure
      FROM pg_stat_database
    """,
    critical="> 0",
    doc="Pages whose checksum was wrong when they were read: damage on disk. Unknown where checksums are off.",
)

sql_observation(
    "postgres.transaction_age",
    Dimension.RATIO,
    """
    SELECT max(greatest(age(datfrozenxid), mxid_age(datminmxid)))::float8 / 2147483647 AS value,
           json_agg(json_build_object('database', datname, 'transactions', age(datfrozenxid),
                                      'multixacts', mxid_age(datminmxid))
                    ORDER BY age(datfrozenxid) DESC) AS detail
      FROM pg_database
    """,
    warning="> 50%",
    critical="> 80%",
    doc="Age of the oldest transaction id that is not frozen, as a share of the 2,147,483,647 after which PostgreSQL "
    "stops taking writes. Autovacuum starts at autovacuum_freeze_max_age, by default 9 %.",
)
