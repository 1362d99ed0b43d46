"""Restoring a database: beside the one that is used, or in its place. Nothing gets its name before it is verified."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Name
from opsbook.connectors.backups.manifest import TableFacts
from opsbook.connectors.change import Change, Json
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.databases import databases_of
from opsbook.operations.registry import operation
from opsbook.operations.statements import Identifier, TableName
from opsbook.operations.stored_backups import Meant, assertions_for, meant


class Restored(OperationParameters):
    backup: Name = Field(description="the backup of the book that is restored")
    stamp: str = Field("", description="which one: its stamp or the beginning of it; the newest where left out")
    jobs: int = Field(0, ge=0, description="how many tables and indexes at once; as the book says where left out")


def _listed(value: object) -> object:
    """Names with commas between them, as a parameter of a procedure has them."""
    return tuple(one.strip() for one in value.split(",") if one.strip()) if isinstance(value, str) else value


Tables = Annotated[tuple[TableName, ...], BeforeValidator(_listed)]


class Beside(Restored):
    to: Identifier = Field(description="the name of the new database")
    tables: Tables = Field((), description="only the rows of these tables; the others stay empty")


def chosen_tables(found: Meant, names: tuple[str, ...]) -> list[str]:
    """Tables as the manifest names them; `name` or `schema.name` as people write them. Raises Refused."""
    assert found.manifest.database is not None
    known = found.manifest.database.tables
    return [_table(found, known, name) for name in names]


def _table(found: Meant, known: tuple[TableFacts, ...], name: str) -> str:
    fitting = [one.name for one in known if name in (_plain(one.name), _plain(one.name).partition(".")[2])]
    if len(fitting) != 1:
        what = "has no table" if not fitting else f"has {len(fitting)} tables named"
        raise Refused(f"{found.manifest.folder} {what} {name}", "write schema.table: `opsbook backups show` lists them")
    return fitting[0]


def _plain(name: str) -> str:
    return name.replace('"', "")


def _effect(parameters: Restored, found: Meant, database: str, assertions: list[str]) -> dict[str, Json]:
    return {
        "component": parameters.of, "backup": parameters.backup, "stamp": found.manifest.stamp,
        "manifest": found.digest, "database": database, "tables": [], "jobs": parameters.jobs or found.jobs,
        "assertions": assertions, "replaces": False,
    }  # fmt: skip


@operation(
    "postgres.restore",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=Beside,
    doc="Restores a backup into a new database beside the one that is used: rows in parallel, then indexes, "
    "constraints and statistics. Every object's checksum, the structure, the rows of every table and the book's "
    "assertions are held against what was backed up; where anything differs, it is named and nothing is left. Undo "
    "drops the new database.",
)
class _Restore(Repeatable):
    async def plan(self, parameters: Beside, facts: Facts) -> AsyncIterator[Change]:
        found = await meant(facts, parameters.of, parameters.backup, parameters.stamp)
        _is_database(found)
        there, live = await databases_of(facts, parameters.of)
        if parameters.to == live and live in there:
            raise Refused(f"{parameters.to} is the database that is used", "restore beside it, and switch then")
        assertions = [] if parameters.tables else [one.id for one in assertions_for(facts, parameters.of)]
        effect = _effect(parameters, found, parameters.to, assertions)
        effect["tables"] = chosen_tables(found, parameters.tables)
        undo = Change("drop-database", {"component": parameters.of, "database": parameters.to})
        evidence: dict[str, Any] = {**found.evidence, "there": parameters.to in there}
        yield Change("restore-postgres", effect, evidence, inverse=undo)


@operation(
    "postgres.restore_in_place",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=Restored,
    doc="Drops the database that is used and restores a backup in its place, where there is no room for both. Every "
    "object of the backup is read and found good before anything is dropped; the new database gets the name only when "
    "it is verified, so that nobody ever meets half of it. Meanwhile there is none.",
)
class _InPlace(Repeatable):
    async def plan(self, parameters: Restored, facts: Facts) -> AsyncIterator[Change]:
        found = await meant(facts, parameters.of, parameters.backup, parameters.stamp)
        _is_database(found)
        _, live = await databases_of(facts, parameters.of)
        effect = _effect(parameters, found, live, [one.id for one in assertions_for(facts, parameters.of)])
        effect["replaces"] = True
        inverse = "what was there is dropped; restore the backup that was taken before"
        yield Change("restore-postgres", effect, found.evidence, inverse=inverse)


class OfTables(Restored):
    tables: Tables = Field(min_length=1, description="the tables whose rows come back")


@operation(
    "postgres.restore_tables",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=OfTables,
    doc="Replaces the rows of chosen tables by those of a backup, in one transaction; all other tables stay. The rows "
    "are restored aside and verified before. Triggers do not fire; every foreign key from and to these tables is "
    "checked, and where one would not hold, nothing is changed. Sequences never go back.",
)
class _Tables(Repeatable):
    async def plan(self, parameters: OfTables, facts: Facts) -> AsyncIterator[Change]:
        found = await meant(facts, parameters.of, parameters.backup, parameters.stamp)
        _is_database(found)
        _, live = await databases_of(facts, parameters.of)
        effect = _effect(parameters, found, live, [])
        effect["tables"] = chosen_tables(found, parameters.tables)
        assert found.manifest.database is not None
        rows = {one.name: one.rows for one in found.manifest.database.tables if one.name in effect["tables"]}
        inverse = "the rows from before are in the backup that was taken first"
        yield Change("restore-tables", effect, {**found.evidence, "rows of the backup": rows}, inverse=inverse)


def _is_database(found: Meant) -> None:
    if found.manifest.database is None:
        raise Refused(
            f"{found.manifest.folder} holds no database: it is {found.manifest.method}", "name another backup"
        )
