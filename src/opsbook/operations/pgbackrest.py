"""pgBackRest: configured, taking and verifying backups, and databases brought back as they were at a point."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.recovery import Backup
from opsbook.book.system import System
from opsbook.book.units import parse_quantity
from opsbook.book.values import Name
from opsbook.connectors.backups.archiving import archiver_of
from opsbook.connectors.backups.catalogue import backup_named
from opsbook.connectors.backups.pgbackrest import Call, Cluster, Stanza, configuration, read_cluster, stanza_of, version
from opsbook.connectors.backups.pgbackrest_info import (
    Held,
    Point,
    Range,
    Repository,
    candidates,
    due_type,
    lsn_number,
)
from opsbook.connectors.change import Change, Json
from opsbook.connectors.executors.pgbackrest import configured
from opsbook.connectors.executors.restore_work import target_of
from opsbook.connectors.objectstore.keys import safe
from opsbook.errors import OpsbookError, Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable, Verdict
from opsbook.operations.databases import databases_of
from opsbook.operations.postgres_settings import setting_change
from opsbook.operations.registry import operation
from opsbook.operations.restore import Tables
from opsbook.operations.statements import Identifier
from opsbook.operations.stored_backups import assertions_for

WRITTEN = "a repository and its configuration stay: remove them by hand when nothing needs them any more"

TIMEOUT = "60s"
"""A server that ends no segment by the clock may leave what was written in one that is never full."""


class OfStanza(OperationParameters):
    backup: Name = Field(description="the backup of the book, of the method `pgbackrest`")


def continuous(facts: Facts, component: str, name: str) -> Backup:
    """The backup. Raises UsageError, and Refused where it is another's or is taken in another way."""
    backup = backup_named(facts.system, name)
    if backup.of != component:
        raise Refused(f"backup {name} is of {backup.of}, not of {component}", f"write `of: {backup.of}`")
    if backup.method != "pgbackrest":
        raise Refused(f"backup {name} is taken by {backup.method}, not by pgBackRest", "name another backup")
    return backup


def _effect(act: str, stanza: Stanza) -> dict[str, Json]:
    backup = stanza.backup
    return {
        "act": act, "component": backup.of, "backup": backup.id, "stanza": stanza.name, "config": str(stanza.config)
    }  # fmt: skip


async def _held(stanza: Stanza) -> Repository:
    def look() -> Repository:
        configured(stanza)
        return Call(stanza).info()

    return await asyncio.to_thread(look)


@operation(
    "pgbackrest.configure",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=OfStanza,
    doc="Writes pgbackrest.conf for the server's user alone, makes repository and stanza, sets archive_mode, "
    "archive_command and, where there is none, archive_timeout, and has one segment archived as a proof. Where "
    "archive_mode needs a restart of the server, plan and result say so; it is not done by the way. A configuration "
    "that a person wrote is used as it is.",
)
class _Configure(Repeatable):
    async def plan(self, parameters: OfStanza, facts: Facts) -> AsyncIterator[Change]:
        backup = continuous(facts, parameters.of, parameters.backup)
        server, _ = await target_of(facts.connector(parameters.of).connections, parameters.of, "plan")

        def look() -> tuple[Stanza, Cluster, bool, str]:
            stanza = stanza_of(facts.system, backup)
            version(stanza.place)
            cluster, by_hand = read_cluster(server, stanza.place), stanza.by_hand()
            if not by_hand:
                configuration(stanza, cluster)
            return stanza, cluster, by_hand, stanza.archive_command()

        stanza, cluster, by_hand, command = await asyncio.to_thread(look)
        if cluster.in_recovery:
            raise Refused(f"{parameters.of} is a standby: its primary archives the log", "name the primary")
        evidence: dict[str, Json] = {
            "repository": stanza.address, "stanza": stanza.name, "cluster": str(cluster.data),
            "configuration": "a person's, used as it is" if by_hand else "written",
            "archive_mode now": cluster.archive_mode, "restart needed": cluster.archive_mode == "off",
        }  # fmt: skip
        yield Change("pgbackrest", _effect("configure", stanza), evidence, inverse=WRITTEN)
        if cluster.archive_mode == "off":
            yield (await setting_change(facts, parameters.of, "archive_mode", "on"))[0]
        if (setting := await setting_change(facts, parameters.of, "archive_timeout", TIMEOUT))[1]["setting"] == "0":
            yield setting[0]
        yield (await setting_change(facts, parameters.of, "archive_command", command))[0]
        yield Change("pgbackrest", _effect("check", stanza), inverse="nothing was changed")


async def take(facts: Facts, backup: Backup) -> Change:
    """The change that takes a backup of the type that is due. Raises Refused, NotReached."""
    stanza = await asyncio.to_thread(stanza_of, facts.system, backup)
    await asyncio.to_thread(version, stanza.place)
    found, said = await _held(stanza), stanza.settings
    kind = due_type(found.backups, said.type, said.full_every, facts.clock.now())
    last = found.backups[-1] if found.backups else None
    evidence: dict[str, Json] = {
        "repository": stanza.address, "backups there": len(found.backups),
        "last": f"{last.label} ({last.type})" if last else "none",
        "full because": _why_full(found.backups, said.full_every) if kind == "full" else "",
    }  # fmt: skip
    # What is due is told, and chosen again by nobody: a run that waits for hours takes what was planned.
    return Change(
        "pgbackrest", {**_effect("backup", stanza), "type": kind}, {k: v for k, v in evidence.items() if v},
        inverse="nothing to undo: a backup that was taken stays; pgBackRest expires it in its time",
    )  # fmt: skip


def _why_full(held: tuple[Held, ...], every: timedelta) -> str:
    full = [one for one in held if one.type == "full"]
    return (
        f"the last full one is of {full[-1].stop:%Y-%m-%d}, and one is due every {every}" if full else "there is none"
    )


async def was_taken(facts: Facts, key: str, change: Change) -> Verdict:
    """Whether the repository holds a backup with the key of the change."""
    if change.effect["act"] != "backup":
        return "unknown"
    try:
        stanza = await asyncio.to_thread(stanza_of, facts.system, backup_named(facts.system, change.effect["backup"]))
        found = await _held(stanza)
    except OpsbookError:
        return "unknown"
    return "done" if found.taken_by(safe(key)) else "not_done"


async def verifying(facts: Facts, backup: Backup) -> Change:
    """The change that has all of a repository read."""
    stanza = await asyncio.to_thread(stanza_of, facts.system, backup)
    found = await _held(stanza)
    evidence = {"backups": len(found.backups), "bytes stored": sum(one.stored for one in found.backups)}
    return Change("pgbackrest", _effect("verify", stanza), evidence, inverse="nothing was changed")


class At(OfStanza):
    at: str = Field("", description="a time with its zone, a time ago as 10m, or `latest`")
    lsn: str = Field("", description="a place in the log, as 0/3000148")
    point: str = Field("", description="a named restore point")
    xid: str = Field("", description="a transaction: the last that is in it")
    stamp: str = Field("", description="begin with this backup of pgBackRest; the one that fits where left out")
    jobs: int = Field(0, ge=0, description="how many tables and indexes at once; as the book says where left out")


class AtBeside(At):
    to: Identifier = Field(description="the name of the new database")
    tables: Tables = Field((), description="only the rows of these tables; the others stay empty")


class AtTables(At):
    tables: Tables = Field(min_length=1, description="the tables whose rows come back")


async def planned_point(parameters: At, facts: Facts) -> tuple[dict[str, Json], dict[str, Json], str]:
    """Effect and evidence, and the name of the live database."""
    backup = continuous(facts, parameters.of, parameters.backup)
    point = point_of(parameters, facts.system, facts.clock.now())
    _, live = await databases_of(facts, parameters.of)
    stanza = await asyncio.to_thread(stanza_of, facts.system, backup)
    found = await _held(stanza)
    reach = await reachable(facts, parameters.of, found)
    if point.time and not reach.holds(point.time):
        where = "before the first backup" if point.time < reach.first else "after the last that is archived"
        raise Refused(f"{point} is {where}", f"possible is {reach}")
    fitting = candidates(found, point, parameters.stamp)
    if not fitting:
        raise Refused(f"no backup of {backup.id} leads to {point}", f"possible is {reach}")
    facts.record(f"{backup.id}: begins with", fitting[0].label)
    effect: dict[str, Json] = {
        "component": parameters.of, "backup": backup.id, "label": parameters.stamp, "kind": point.kind,
        "target": point.target, "jobs": parameters.jobs or max(2, backup.jobs), "tables": [], "assertions": [],
        "into_live": False, "database": live, "replaces": False,
    }  # fmt: skip
    zone = ZoneInfo(str(facts.system.model.timezone or "UTC"))
    local = f"{point.time.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}" if point.time else ""
    evidence: dict[str, Json] = {
        "point": str(point) + (f" = {local}" if local and str(zone) != "UTC" else ""), "possible": str(reach),
        "begins with": f"{fitting[0].label} ({fitting[0].type})", "bytes of the cluster": fitting[0].size,
    }  # fmt: skip
    return effect, evidence, live


@operation(
    "postgres.restore_at",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=AtBeside,
    doc="Makes a new database beside the one that is used, as that was at a time, a place in the log, a named point or "
    "after a transaction. pgBackRest restores the cluster into a server of its own and the log is replayed there; the "
    "database is copied over and held against it row for row. What was written after the point is counted. Undo drops "
    "the new database.",
)
class _RestoreAt(Repeatable):
    async def plan(self, parameters: AtBeside, facts: Facts) -> AsyncIterator[Change]:
        effect, evidence, live = await planned_point(parameters, facts)
        if parameters.to == live:
            raise Refused(f"{live} is the database that is used", "restore beside it, and switch then")
        effect |= {"database": parameters.to, "tables": list(parameters.tables)}
        if not parameters.tables:
            effect["assertions"] = [one.id for one in assertions_for(facts, parameters.of)]
        undo = Change("drop-database", {"component": parameters.of, "database": parameters.to})
        yield Change("restore-at", effect, evidence, inverse=undo)


@operation(
    "postgres.restore_tables_at",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=AtTables,
    doc="Replaces the rows of chosen tables by those that they had at a point, in one transaction; all other tables "
    "stay. Every foreign key from and to these tables is checked, and where one would not hold, nothing is changed.",
)
class _TablesAt(Repeatable):
    async def plan(self, parameters: AtTables, facts: Facts) -> AsyncIterator[Change]:
        effect, evidence, _ = await planned_point(parameters, facts)
        effect |= {"tables": list(parameters.tables), "into_live": True}
        now = facts.clock.now().astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S+00")
        inverse = f"the rows from before come back in the same way: --at {now!r}"
        yield Change("restore-at", effect, evidence, inverse=inverse)


async def reachable(facts: Facts, component: str, found: Repository) -> Range:
    """From the end of the first backup up to now, or up to where archiving fails. Raises Refused without a backup."""
    if not found.whole:
        raise Refused("there is no backup yet to begin with", "take one: `opsbook backup`")
    server, _ = await target_of(facts.connector(component).connections, component, "plan")
    archiver = await asyncio.to_thread(archiver_of, server)
    now = facts.clock.now()
    stopped = archiver.failing or archiver.mode == "off"
    return Range(found.whole[0].stop, (archiver.last or now) if stopped else now)


def point_of(parameters: At, system: System, now: datetime) -> Point:
    """The point that is meant: one of its kinds. Raises Refused, with how it is written."""
    given = {kind: value for kind, value in (("time", parameters.at), ("lsn", parameters.lsn),
             ("name", parameters.point), ("xid", parameters.xid)) if value.strip()}  # fmt: skip
    if len(given) != 1:
        raise Refused("name one point: a time, a place in the log, a named point, or a transaction", 'as --at "10m"')
    ((kind, text),) = given.items()
    text = text.strip()
    if kind == "time":
        return _time(text, system, now)
    if kind == "lsn" and not re.fullmatch(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", text):
        raise Refused(f"{text!r} is no place in the log", "write it as PostgreSQL does: 0/3000148")
    if kind == "xid" and not text.isdecimal():
        raise Refused(f"{text!r} is no transaction", "write its number, as txid_current() tells it")
    if kind == "name" and (len(text) > 63 or not text.isprintable()):
        raise Refused(
            "a restore point's name has at most 63 characters of one line", "as pg_create_restore_point has it"
        )
    if kind == "lsn":
        lsn_number(text)
    return Point(kind, text)


def _time(text: str, system: System, now: datetime) -> Point:
    if text == "latest":
        return Point("latest")
    if re.fullmatch(r"\d+(\.\d+)?(ms|s|m|min|h|d)( ago)?", text):
        moment = now - timedelta(seconds=parse_quantity(text.removesuffix(" ago")).value)
    else:
        try:
            moment = datetime.fromisoformat(text.replace(" UTC", "+00:00").replace("Z", "+00:00"))
        except ValueError:
            raise Refused(f"{text!r} is no time", 'write "2026-01-31 14:00:00+00", "10m" or "latest"') from None
    if moment.tzinfo is None:
        zone = str(system.model.timezone or "UTC")
        here = moment.replace(tzinfo=ZoneInfo(zone)).isoformat(sep=" ")
        raise Refused(
            f"{text!r} does not say in which time zone", f'write "{here}" for {zone}, or "{moment}+00:00" for UTC'
        )
    return Point("time", moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00"))
