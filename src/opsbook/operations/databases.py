"""Databases of one server that change places, and are dropped: what was used is kept, so that one can go back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.backups.postgres_databases import Database, databases_on
from opsbook.connectors.change import Change, Json
from opsbook.connectors.executors.restore_work import SERVICE, target_of
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable, Verdict
from opsbook.operations.registry import operation
from opsbook.operations.statements import LONGEST_NAME, Identifier

BLOCKED = """
SELECT (SELECT string_agg(slot_name::text, ', ') FROM pg_replication_slots
        WHERE database = current_database()) AS slots,
       (SELECT string_agg(gid, ', ') FROM pg_prepared_xacts WHERE database = current_database()) AS prepared
"""
WRITES = """
SELECT coalesce(sum(n_tup_ins), 0)::bigint AS inserted, coalesce(sum(n_tup_upd), 0)::bigint AS updated,
       coalesce(sum(n_tup_del), 0)::bigint AS deleted
FROM pg_stat_user_tables
"""


async def databases_of(facts: Facts, component: str) -> tuple[dict[str, Database], str]:
    """Every database of the component's server, and the name of the one that its address means, also where that is
    gone. Raises ChangeFailed where the server cannot be asked.
    """
    server, live = await target_of(facts.connector(component).connections, component, "plan")
    return await asyncio.to_thread(databases_on, server), live


def kept_name(live: str, word: str, taken: Mapping[str, Any]) -> str:
    """A name that is free, as `app_before_20260101t000000z`."""
    stem = f"{live}_{word}".lower()[: LONGEST_NAME - 4]
    names = [stem, *(f"{stem}_{n}" for n in range(2, 100))]
    return next(name for name in names if name not in taken)


async def _unblocked(facts: Facts, component: str) -> None:
    (row,) = await facts.rows(component, BLOCKED)
    if row["slots"]:
        raise Refused(
            f"the database feeds logical replication ({row['slots']}), which cannot follow a new one",
            "drop the slot and the subscription, and make them again afterwards",
        )
    if row["prepared"]:
        raise Refused(f"there are prepared transactions ({row['prepared']})", "commit or roll them back first")


class Switch(OperationParameters):
    to: Identifier = Field(description="the database that takes the place of the one that is used")
    kept: Identifier | None = Field(None, description="the name under which that one is kept; made up where left out")


@operation(
    "postgres.switch_database",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=False,
    parameters=Switch,
    doc="Puts another database of the same server in the place of the one that is used, by renaming both in one "
    "transaction. Sessions are ended while nobody can connect; pools are paused where their console allows it. What "
    "was used is kept under another name, with who may connect and how many rows were written until then. Undo "
    "switches back.",
)
class _Switch:
    async def plan(self, parameters: Switch, facts: Facts) -> AsyncIterator[Change]:
        found, live = await databases_of(facts, parameters.of)
        if parameters.to == live:
            raise Refused(f"{live} is the database that is used already", "name another")
        if live == SERVICE:
            raise Refused(
                f"{live} is the database from which others are renamed: it cannot be renamed itself",
                "restore beside it and copy what is missing, or the rows of tables: --tables A,B --in-place",
            )
        if live not in found:
            raise Refused(f"there is no database {live}", f"restore it under its own name: --to {live}")
        await _unblocked(facts, parameters.of)
        kept = parameters.kept or kept_name(live, f"before_{parameters.to.removeprefix(f'{live}_')}", found)
        if kept in found:
            raise Refused(f"there is a database {kept} already", "drop it, or name another with `kept`")
        evidence = {"sessions now": found[live].sessions, "there": parameters.to in found}
        yield _switch(parameters.of, live, parameters.to, kept, evidence)

    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        return await _switched(change, facts)


class Back(OperationParameters):
    kept: Identifier = Field(description="the database that was kept when another took its place")


@operation(
    "postgres.switch_back",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=False,
    parameters=Back,
    doc="Goes back to the database that was kept by a switch. The plan tells how many rows were written since then, "
    "which the database that is used again does not have; they stay in what is kept now. Undo switches again.",
)
class _Back:
    async def plan(self, parameters: Back, facts: Facts) -> AsyncIterator[Change]:
        found, live = await databases_of(facts, parameters.of)
        kept = found.get(parameters.kept)
        if kept is None:
            others = [name for name, one in found.items() if noted(one.comment)]
            told = f"kept are: {', '.join(sorted(others))}" if others else "none was kept"
            raise Refused(f"there is no database {parameters.kept}", told)
        note = noted(kept.comment)
        if not note or note.get("was") != live:
            raise Refused(f"{parameters.kept} was not kept by a switch of {live}", "use postgres.switch_database")
        await _unblocked(facts, parameters.of)
        (now,) = await facts.rows(parameters.of, WRITES)
        lost = writes_since(note, now)
        facts.record("rows written since the switch", lost)
        aside = kept_name(live, f"after_{_moment(note)}", found)
        evidence = {"switched": note.get("at", ""), "written since, and not in what is used then": lost}
        yield _switch(parameters.of, live, parameters.kept, aside, evidence)

    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        return await _switched(change, facts)


def noted(comment: str) -> dict[str, Any]:
    """What a switch noted at the database that it kept; empty for any other comment."""
    try:
        told = json.loads(comment)
    except ValueError:
        return {}
    return told if isinstance(told, dict) and told.get("opsbook") == "kept" else {}


def writes_since(note: Mapping[str, Any], now: Mapping[str, Any]) -> Json:
    """Rows inserted, updated and deleted since a switch, or why that is not known."""
    then = note.get("writes")
    if not isinstance(then, dict):
        return "not known: nothing was noted when it was switched"
    told = {name: int(now[name]) - int(then.get(name, 0)) for name in ("inserted", "updated", "deleted")}
    if min(told.values()) < 0:
        return "not known: the server's statistics were reset since"
    return told


def _moment(note: Mapping[str, Any]) -> str:
    return "".join(one for one in str(note.get("at", ""))[:19].lower() if one.isalnum()) or "switch"


def _switch(component: str, live: str, new: str, kept: str, evidence: Json) -> Change:
    back = Change("switch-database", {"component": component, "live": live, "new": kept, "kept": new})
    effect = {"component": component, "live": live, "new": new, "kept": kept}
    return Change("switch-database", effect, evidence, inverse=back)


async def _switched(change: Change, facts: Facts) -> Verdict:
    """Both renames are one transaction: what is there tells whether it was committed."""
    found, _ = await databases_of(facts, change.effect["component"])
    new, kept = change.effect["new"] in found, change.effect["kept"] in found
    if kept and not new:
        return "done"
    return "not_done" if new and not kept else "unknown"


class Drop(OperationParameters):
    database: Identifier = Field(description="a database that was kept by a switch, or made by a restore")


@operation(
    "postgres.drop_database",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=Drop,
    doc="Drops a database that a switch has kept or a restore has made; never the one that is used, and none that "
    "opsbook did not make.",
)
class _Drop(Repeatable):
    async def plan(self, parameters: Drop, facts: Facts) -> AsyncIterator[Change]:
        found, live = await databases_of(facts, parameters.of)
        one = found.get(parameters.database)
        if one is None:
            raise Refused(f"there is no database {parameters.database}", f"there are: {', '.join(sorted(found))}")
        comment = one.comment
        if parameters.database == live:
            raise Refused(
                f"{parameters.database} is the database that is used", "only one that was kept can be dropped"
            )
        if not noted(comment) and not comment.startswith("opsbook: "):
            raise Refused(f"{parameters.database} was not made by opsbook", "drop it by hand, if it is meant")
        effect = {"component": parameters.of, "database": parameters.database}
        evidence = {"sessions now": one.sessions, "comment": comment}
        yield Change(
            "drop-database", effect, evidence, guard={"comment": comment}, inverse="a dropped database is gone"
        )
