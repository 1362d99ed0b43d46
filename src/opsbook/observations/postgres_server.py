"""A PostgreSQL server as a whole: is it there, what is it, how is it set, do its background jobs keep up."""

from __future__ import annotations

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.observations.postgres_sql import sql_observation

CHECKPOINTER = {
    "view": {0: "pg_stat_bgwriter", 170000: "pg_stat_checkpointer"},
    "timed": {0: "checkpoints_timed", 170000: "num_timed"},
    "requested": {0: "checkpoints_req", 170000: "num_requested"},
}

sql_observation(
    "postgres.up",
    Dimension.STATE,
    "SELECT true AS value, 'PostgreSQL ' || current_setting('server_version') || ' answers' AS message",
    vital=True,
    critical="is down",
    doc="Whether the server takes a connection and answers a query.",
)

sql_observation(
    "postgres.version",
    Dimension.TEXT,
    "SELECT current_setting('server_version') AS value",
    doc="The version of the server, for example 15.6.",
)

sql_observation(
    "postgres.uptime",
    Dimension.DURATION,
    "SELECT extract(epoch FROM now() - pg_postmaster_start_time()) AS value",
    doc="Time since the server was started. A small value is a restart that somebody should know of.",
)

sql_observation(
    "postgres.is_primary",
    Dimension.STATE,
    """
    SELECT NOT pg_is_in_recovery() AS value,
           CASE WHEN pg_is_in_recovery() THEN 'a standby: it replays and is read-only' ELSE 'it takes writes' END
               AS message
    """,
    critical="is down",
    doc="Whether the server takes writes; down on a standby.",
)

sql_observation(
    "postgres.replica_up",
    Dimension.STATE,
    """
    SELECT pg_is_in_recovery() AS value,
           CASE WHEN pg_is_in_recovery() THEN 'PostgreSQL ' || current_setting('server_version') || ' replays'
                ELSE 'it answers, but is no standby any more: it was promoted' END AS message
    """,
    on="replica",
    critical="is down",
    doc="Whether the server of `replica` answers and is a standby.",
)

sql_observation(
    "postgres.tls",
    Dimension.STATE,
    """
    SELECT current_setting('ssl')::boolean AS value,
           'at least ' || current_setting('ssl_min_protocol_version') AS message
    """,
    doc="Whether the server offers TLS (`ssl = on`). Sessions that do without are in postgres.sessions_without_tls.",
)


class SettingParameters(Parameters):
    name: str = Field(description="name of the setting, for example synchronous_commit")


sql_observation(
    "postgres.setting",
    Dimension.TEXT,
    """
    SELECT current_setting(%(name)s) AS value,
           (SELECT CASE WHEN pending_restart THEN 'waits for a restart' END
              FROM pg_settings s WHERE s.name = lower(%(name)s)) AS message
    """,
    parameters=SettingParameters,
    doc="The value of one setting as SHOW prints it. Hold it against `== on` to find drift.",
)

sql_observation(
    "postgres.settings_pending",
    Dimension.COUNT,
    """
    SELECT count(*) AS value, json_agg(json_build_object('name', name, 'in_force', setting)) AS detail
      FROM pg_settings WHERE pending_restart
    """,
    warning="> 0",
    doc="Settings that were changed in the configuration and wait for a restart.",
)

sql_observation(
    "postgres.checkpoints_requested",
    Dimension.RATIO,
    """
    SELECT {requested}::float8 / nullif({timed} + {requested}, 0) AS value,
           {requested} || ' requested, ' || {timed} || ' timed since ' || date_trunc('second', stats_reset) AS message
      FROM {view}
    """,
    words=CHECKPOINTER,
    doc="Share of checkpoints that were forced, mostly by max_wal_size, and not timed, since the statistics were "
    "reset. Much above a half: max_wal_size is too small for the writes.",
)

sql_observation(
    "postgres.archive_failures",
    Dimension.COUNT,
    """
    SELECT CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN failed_count ELSE 0 END AS value,
           json_build_object('archived', archived_count, 'last_archived', last_archived_time, 'failed', failed_count,
                             'last_failed', last_failed_time, 'last_failed_wal', last_failed_wal) AS detail,
           CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity')
                THEN last_failed_wal || ' cannot be archived' ELSE 'the last attempt succeeded' END AS message,
           CASE WHEN current_setting('archive_mode') = 'off' THEN 'archiving is off (archive_mode)' END AS failure
      FROM pg_stat_archiver
    """,
    critical="> 0",
    doc="Failed attempts to archive WAL, while the last attempt was a failure; 0 as soon as one succeeds again.",
)

sql_observation(
    "postgres.archive_age",
    Dimension.DURATION,
    """
    SELECT extract(epoch FROM now() - last_archived_time) AS value, last_archived_wal AS message,
           CASE WHEN current_setting('archive_mode') = 'off' THEN 'archiving is off (archive_mode)' END AS failure
      FROM pg_stat_archiver
    """,
    doc="Time since the last WAL file was archived. With archive_timeout set this bounds the loss of a restore; "
    "without it, a server that writes little archives seldom.",
)
