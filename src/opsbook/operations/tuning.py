"""Several settings of a server as one change with one undo: what `opsbook advise` says, made so."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change, Json
from opsbook.connectors.postgres import PostgresConnector
from opsbook.errors import OpsbookError, Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.postgres_settings import setting_change
from opsbook.operations.redis_server import redis_setting
from opsbook.operations.registry import operation
from opsbook.operations.statements import literal, statement

ONE = re.compile(r"^(?P<name>[A-Za-z0-9_.-]+)(?: of (?P<table>[^=,;]+))?\s*=\s*(?P<value>[^,;]+)$")
STANDBY_NEEDS = frozenset(
    {"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions",
     "max_locks_per_transaction"}
)  # fmt: skip
"""A standby with less of these than its primary stops replaying
(https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN)."""
OPTION = """
SELECT c.oid::regclass::text AS relation,
       (SELECT option_value FROM pg_options_to_table(c.reloptions) WHERE option_name = %(name)s) AS now
  FROM pg_class AS c WHERE c.oid = to_regclass(%(table)s) AND c.relkind IN ('r', 'm', 'p')
"""
PAGE, MOST_CACHE = 8192, 0.6
LOOPBACK = (None, "", "localhost", "127.0.0.1", "::1")
TABLE_OPTION = re.compile(r"^(autovacuum_[a-z_]+|fillfactor|parallel_workers|toast_tuple_target)$")


def read(text: str) -> list[tuple[str, str, str]]:
    """Name, table and value of each `NAME=VALUE` or `NAME of TABLE=VALUE`. Raises ValueError."""
    found = []
    for part in filter(None, (one.strip() for one in re.split(r"[,;]", text))):
        match = ONE.match(part)
        if match is None:
            raise ValueError(f"{part!r} is not NAME=VALUE")
        found.append((match["name"], (match["table"] or "").strip(), match["value"].strip()))
    if not found:
        raise ValueError("no setting is said: write NAME=VALUE, with commas between")
    names = [(name, table) for name, table, _ in found]
    if twice := {name for name, table in names if names.count((name, table)) > 1}:
        raise ValueError(f"{', '.join(sorted(twice))}: said twice")
    return found


def _checked(text: str) -> str:
    read(text)
    return text


Settings = Annotated[str, AfterValidator(_checked)]


class Tune(OperationParameters):
    settings: Settings = Field(
        description="NAME=VALUE with commas between; of one table: NAME of SCHEMA.TABLE=VALUE",
        examples=["work_mem=8MB, autovacuum_vacuum_scale_factor of shop.orders=0.01"],
    )


@operation(
    "postgres.tune", Risk.DISRUPTIVE, of="postgres", idempotent=True, parameters=Tune,
    doc="Sets several server settings by ALTER SYSTEM, and storage parameters of tables, each read back. What a standby"
    " must have at least as much of is refused until it has. Undo puts every one back.",
)  # fmt: skip
class _TunePostgres(Repeatable):
    async def plan(self, parameters: Tune, facts: Facts) -> AsyncIterator[Change]:
        for name, table, value in read(parameters.settings):
            if table:
                yield await _table_option(facts, parameters.of, name, table, value)
                continue
            change, row = await setting_change(facts, parameters.of, name, value)
            _must_start(facts, parameters.of, change)
            if str(row["name"]) in STANDBY_NEEDS:
                await _standby_first(facts, parameters.of, str(row["name"]), change)
            yield change


def _must_start(facts: Facts, component: str, change: Change) -> None:
    """Raises Refused for a cache that the host cannot hold: it might not start, and could not be undone."""
    effect = change.effect
    if effect["name"] != "shared_buffers" or effect["wanted"] is None:
        return
    connector = facts.connector(component)
    assert isinstance(connector, PostgresConnector)
    if urlsplit(facts.system.resolve(connector.component.dsn)).hostname not in LOOPBACK:
        return
    wanted, memory = int(effect["wanted"]) * PAGE, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if wanted > memory * MOST_CACHE:
        raise Refused(
            f"shared_buffers of {wanted / 2**30:.1f} GiB on a host of {memory / 2**30:.1f} GiB: it might not start",
            f"say at most {MOST_CACHE:.0%} of it",
        )


async def _standby_first(facts: Facts, component: str, name: str, change: Change) -> None:
    """Raises Refused where the standby has less than the primary would have."""
    connector = facts.connector(component)
    if not isinstance(connector, PostgresConnector) or connector.replica is None:
        return
    try:
        ((has,),) = await connector.replica.read(f"SELECT current_setting('{name}')::int")
    except (OpsbookError, TimeoutError) as error:
        raise Refused(f"the standby of {component} does not answer: what it has of {name} is not known",
                      "bring it back first; else it may stop replaying") from error  # fmt: skip
    wanted = change.effect["wanted"]
    if wanted is not None and int(wanted) > int(has):
        raise Refused(
            f"the standby of {component} has {name} = {has}: with {wanted} on the primary it would stop replaying",
            f"set {name} = {wanted} on the standby and restart it, then run this again",
        )


async def _table_option(facts: Facts, component: str, name: str, table: str, value: str) -> Change:
    if not TABLE_OPTION.match(name):
        raise Refused(f"{name} is no storage parameter of a table that opsbook sets", "set it of the server")
    rows = await facts.rows(component, OPTION, {"name": name, "table": table})
    if not rows:
        raise Refused(f"there is no table {table}", "write it as schema.table")
    # regclass prints a name quoted as SQL needs it.
    relation, now = str(rows[0]["relation"]), rows[0]["now"]
    back = f"RESET ({name})" if now is None else f"SET ({name} = {literal(str(now))})"
    inverse = statement(component, f"ALTER TABLE {relation} {back}", timeout=60)
    evidence: dict[str, Json] = {"table": relation, "setting": name, "now": now or "as the server's", "to": value}
    sql = f"ALTER TABLE {relation} SET ({name} = {literal(value)})"
    return statement(component, sql, timeout=60, evidence=evidence, inverse=inverse)


@operation(
    "redis.tune", Risk.DISRUPTIVE, of="redis", idempotent=True, parameters=Tune,
    doc="Changes several settings of the running server, each read back and kept over restarts where the server has a"
    " file. Undo puts every one back.",
)  # fmt: skip
class _TuneRedis(Repeatable):
    async def plan(self, parameters: Tune, facts: Facts) -> AsyncIterator[Change]:
        for name, table, value in read(parameters.settings):
            if table:
                raise Refused("Redis has no tables", f"write {name}={value}")
            yield await redis_setting(facts, parameters.of, name, value, keep=True)
