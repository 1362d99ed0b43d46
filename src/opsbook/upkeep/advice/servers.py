"""What the servers say of their load and settings, read for the rules. Only reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opsbook.book.system import System
from opsbook.book.units import show_duration
from opsbook.connectors.celery import CeleryBroker
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.postgres import PostgresConnector
from opsbook.connectors.redis import RedisComponent, RedisConnector
from opsbook.errors import OpsbookError
from opsbook.observations.postgres_connections import PlanParameters, connections_planned
from opsbook.observations.postgres_server import CHECKPOINTER
from opsbook.observations.postgres_sql import by_version
from opsbook.upkeep.advice import postgres, redis
from opsbook.upkeep.advice.contract import Advised, Machine
from opsbook.upkeep.advice.machines import machine_of, turns_not
from opsbook.upkeep.advice.observed import History

UNITS = {"8kB": 8192.0, "kB": 1024.0, "B": 1.0, "MB": 1048576.0, "ms": 0.001, "s": 1.0, "min": 60.0}
SETTINGS = """
SELECT name, setting, coalesce(unit, ''), current_setting(name), context = 'postmaster'
  FROM pg_settings WHERE name = ANY(%(names)s) AND vartype IN ('integer', 'real')
"""
LOAD = """
SELECT sum(pg_database_size(d.datname)) FILTER (WHERE has_database_privilege(d.oid, 'CONNECT'))::float8,
       extract(epoch FROM now() - greatest(max(s.stats_reset), pg_postmaster_start_time()))::float8,
       (sum(s.blks_hit) / nullif(sum(s.blks_hit) + sum(s.blks_read), 0))::float8,
       sum(s.temp_bytes)::float8, sum(s.temp_files)::int, sum(s.numbackends)::float8
  FROM pg_database AS d JOIN pg_stat_database AS s ON s.datid = d.oid
"""
CHECKPOINTS = "SELECT {timed}::int, {requested}::int FROM {view}"
WRITTEN = """
SELECT (wal_bytes / nullif(extract(epoch FROM now() - stats_reset), 0))::float8,
       (wal_fpi * current_setting('block_size')::numeric / nullif(wal_bytes, 0))::float8
  FROM pg_stat_wal
"""
"""There from PostgreSQL 14 on."""
TABLES = """
SELECT c.oid::regclass::text, greatest(c.reltuples, s.n_live_tup)::float8, coalesce(s.n_dead_tup, 0)::float8,
       coalesce((SELECT option_value FROM pg_options_to_table(c.reloptions)
                  WHERE option_name = 'autovacuum_vacuum_scale_factor'),
                current_setting('autovacuum_vacuum_scale_factor'))::float8,
       coalesce((SELECT option_value FROM pg_options_to_table(c.reloptions)
                  WHERE option_name = 'autovacuum_vacuum_threshold'),
                current_setting('autovacuum_vacuum_threshold'))::float8
  FROM pg_class AS c LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND greatest(c.reltuples, s.n_live_tup) >= %(rows)s
 ORDER BY 2 DESC LIMIT 20
"""
FOLDER = "SELECT current_setting('data_directory', true)"


async def of_postgres(
    connector: PostgresConnector, history: History, machine: Machine | None, enough: float
) -> Advised:
    """Advice on a PostgreSQL server. Raises Unreachable."""
    load = await load_of(connector, history)
    found = machine or await machine_of(
        connector.connections, connector.name, connector.system.resolve(connector.component.dsn)
    )
    if found.memory is not None and machine is None and not found.told.startswith("its limit"):
        found = await _with_disk(connector, found)
    return postgres.advise(connector.name, load, found, enough)


async def _with_disk(connector: PostgresConnector, machine: Machine) -> Machine:
    try:
        ((folder,),) = await connector.primary.read(FOLDER)
    except ReadFailed:
        return machine
    flash = bool(folder) and turns_not(Path(folder))
    return Machine(machine.memory, machine.cores, machine.others, machine.told, flash)


async def load_of(connector: PostgresConnector, history: History) -> postgres.Load:
    """What the server has counted, and what the store knows of its connections."""
    session = connector.primary
    version = (await session.server()).version
    words = {word: by_version(choices, version) for word, choices in CHECKPOINTER.items()}
    ((databases, measured, hits, temporary, files, now),) = await session.read(LOAD)
    ((timed, requested),) = await session.read(CHECKPOINTS.format(**words))
    rate = pages = None
    if version >= 140000:
        ((rate, pages),) = await session.read(WRITTEN)
    tables = await session.read(TABLES, {"rows": postgres.LARGE_ROWS})
    stored = history.of(connector.name, "postgres.connections")
    peak, over = (now, "now") if stored is None or stored.greatest < now else (
        stored.greatest, f"in {show_duration(stored.seconds)} of `{stored.check}`")  # fmt: skip
    return postgres.Load(
        await _settings(connector), databases or 0.0, max(0.0, measured or 0.0), hits, temporary or 0.0, files or 0,
        timed, requested, rate, pages, peak, over, await planned_of(connector),
        tuple(postgres.BigTable(*row) for row in tables),
    )  # fmt: skip


async def _settings(connector: PostgresConnector) -> dict[str, postgres.Setting]:
    rows = await connector.primary.read(SETTINGS, {"names": list(postgres.NAMES)})
    return {
        name: postgres.Setting(float(value) * UNITS.get(unit, 1.0), shown, restart)
        for name, value, unit, shown, restart in rows
    }


async def planned_of(connector: PostgresConnector) -> float | None:
    """What all pools may open, where the book has a check that says who they are."""
    for check in connector.system.checks:
        if (check.of, check.observe) != (connector.name, "postgres.connections_planned"):
            continue
        try:
            fact = await connections_planned(connector, PlanParameters.model_validate(check.with_))
        except OpsbookError:
            return None
        return float(fact.detail["planned"])
    return None


async def of_redis(connector: RedisConnector, machine: Machine | None) -> Advised:
    """Advice on a Redis or Valkey server. Raises Unreachable."""
    info: dict[str, Any] = await connector.info()
    config = {str(name): str(value) for name, value in (await connector.ask(lambda one: one.config_get("*"))).items()}
    found = machine or await machine_of(
        connector.connections, connector.name, connector.system.resolve(connector.component.url)
    )
    return redis.advise(connector.name, info, config, _use(connector.system, connector.name, info), found)


def _use(system: System, component: str, info: dict[str, Any]) -> redis.Use:
    """What a server is for, all components at its address together."""
    here = together(system, component)
    brokers = {one.broker for one in system.components.values() if isinstance(one, CeleryBroker)}
    keys, expiring = redis.keys_of(info)
    others = [one for one in here if one not in brokers]
    return redis.Use(bool(set(here) & brokers), bool(others) and (len(here) > 1 or expiring >= 0.9 * keys > 0))


def together(system: System, component: str) -> list[str]:
    """Redis components whose address is the same server: databases of one server share its settings."""

    def place(name: str) -> tuple[str, int]:
        settings = system.components[name]
        assert isinstance(settings, RedisComponent)
        parts = urlsplit(system.resolve(settings.url))
        return parts.hostname or parts.path, parts.port or 6379

    mine = place(component)
    return [name for name, one in system.components.items() if isinstance(one, RedisComponent) and place(name) == mine]
