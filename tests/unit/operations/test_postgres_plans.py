"""These facts and parameters → these changes, or this refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.operations.facts import FakeFacts, Rows, plan, system_of

from opsbook.connectors.change import Change
from opsbook.errors import Refused

JOBS = {"schema": "public", "name": "jobs", "partitioned": False, "live": 90, "dead": 10, "bytes": 8192}
MIXED = {"schema": "odd schema", "name": 'the "x" %', "partitioned": False, "live": 0, "dead": 0, "bytes": 0}
INDEX = {
    "name": "jobs_state_idx", "valid": True, "bytes": 8192, "of_table": "jobs", "method": "btree", "unique": False,
    "columns": ["state"], "partial": False, "scans": 5, "constrained": False,
    "definition": "CREATE INDEX jobs_state_idx ON public.jobs USING btree (state)",
}  # fmt: skip
WORK_MEM = {
    "name": "work_mem", "setting": "4096", "unit": "kB", "context": "user", "vartype": "integer", "enumvals": None,
    "min_val": "64", "max_val": "2147483647", "pending_restart": False, "source": "default", "shown": "4MB",
    "by_system": None, "overridden": None,
}  # fmt: skip
TABLES, INDEXES, COLUMNS, SETTINGS = "pg_partition_tree", "FROM pg_index AS x", "a.attnum > 0", "FROM pg_settings"
COLUMN = {"type": "timestamp with time zone", "indexed": True, "cascades": None}
SLOT = {"slot": "s", "type": "physical", "database": None, "active": False, "restart_lsn": "0/1", "elsewhere": True}


@pytest.fixture
def facts_of(tmp_path: Path) -> Any:
    system = system_of(tmp_path, {"database": {"kind": "postgres", "dsn": "postgresql://x@127.0.0.1:1/x"}})
    return lambda rows: FakeFacts(system, rows)


CHANGES: list[tuple[str, dict[str, Any], dict[str, Rows], list[str]]] = [
    ("postgres.vacuum", {}, {TABLES: [JOBS]}, ["VACUUM (ANALYZE)"]),
    ("postgres.vacuum", {"tables": ["jobs"]}, {TABLES: [JOBS]}, ['VACUUM (ANALYZE) "public"."jobs"']),
    ("postgres.analyze", {"tables": ["public.jobs"]}, {TABLES: [JOBS]}, ['ANALYZE "public"."jobs"']),
    ("postgres.analyze", {"tables": ['the "x" %']}, {TABLES: [MIXED]}, ['ANALYZE "odd schema"."the ""x"" %"']),
    (
        "postgres.create_index",
        {"table": "jobs", "columns": ["state", "id"]},
        {TABLES: [JOBS], INDEXES: [], COLUMNS: [{"name": "state"}, {"name": "id"}]},
        ['CREATE INDEX CONCURRENTLY IF NOT EXISTS "jobs_state_id_idx" ON "public"."jobs" USING btree ("state", "id")'],
    ),
    (
        "postgres.reindex",
        {"table": "jobs"},
        {TABLES: [JOBS], INDEXES: [INDEX]},
        ['REINDEX TABLE CONCURRENTLY "public"."jobs"'],
    ),
    (
        "postgres.drop_index",
        {"table": "jobs", "index": "jobs_state_idx"},
        {TABLES: [JOBS], INDEXES: [INDEX]},
        ['DROP INDEX CONCURRENTLY IF EXISTS "public"."jobs_state_idx"'],
    ),
    (
        "postgres.setting",
        {"name": "work_mem", "value": "8MB"},
        {SETTINGS: [WORK_MEM]},
        ["ALTER SYSTEM SET \"work_mem\" = '8MB'"],
    ),
    ("postgres.reset_setting", {"name": "work_mem"}, {SETTINGS: [WORK_MEM]}, ['ALTER SYSTEM RESET "work_mem"']),
    ("postgres.query", {"sql": "SELECT 1;"}, {}, ["SELECT 1"]),
    ("postgres.explain", {"statement": "SELECT 1"}, {}, ["EXPLAIN (VERBOSE, SETTINGS) SELECT 1"]),
]


@pytest.mark.parametrize(("name", "parameters", "rows", "statements"), CHANGES)
async def test_these_facts_make_these_changes(
    facts_of: Any, name: str, parameters: dict[str, Any], rows: dict[str, Rows], statements: list[str]
) -> None:
    changes = await plan(name, facts_of(rows), **parameters)
    assert [change.effect["statement"] for change in changes] == statements


REFUSALS: list[tuple[str, dict[str, Any], dict[str, Rows], str]] = [
    ("postgres.vacuum", {"tables": ["jbos"]}, {TABLES: [JOBS]}, "no table jbos"),
    ("postgres.vacuum", {"tables": ["jobs"]}, {TABLES: [JOBS, {**JOBS, "schema": "old"}]}, "several schemas"),
    ("postgres.vacuum_full", {"table": "jobs"}, {TABLES: [{**JOBS, "partitioned": True}]}, "is partitioned"),
    ("postgres.create_index", {"table": "jobs", "columns": ["sate"]},
     {TABLES: [JOBS], COLUMNS: [{"name": "state"}], INDEXES: []}, "no column sate"),
    ("postgres.create_index", {"table": "jobs", "columns": ["id"], "name": "jobs_state_idx"},
     {TABLES: [JOBS], COLUMNS: [{"name": "id"}], INDEXES: [INDEX]}, "another index jobs_state_idx"),
    ("postgres.drop_index", {"table": "jobs", "index": "none"}, {TABLES: [JOBS], INDEXES: [INDEX]}, "has no index"),
    ("postgres.drop_index", {"table": "jobs", "index": "jobs_state_idx"},
     {TABLES: [JOBS], INDEXES: [{**INDEX, "constrained": True}]}, "upholds a constraint"),
    ("postgres.setting", {"name": "work_mem", "value": "8XB"}, {SETTINGS: [WORK_MEM]}, "cannot be given in 'XB'"),
    ("postgres.setting", {"name": "work_mem", "value": "1kB"}, {SETTINGS: [WORK_MEM]}, "cannot be 1kB"),
    ("postgres.setting", {"name": "nothing", "value": "1"}, {SETTINGS: []}, "no setting nothing"),
    ("postgres.setting", {"name": "x", "value": "1"}, {SETTINGS: [{**WORK_MEM, "context": "internal"}]}, "is fixed"),
    ("postgres.purge", {"table": "jobs", "column": "at", "older_than": "0s"}, {}, "no age"),
    ("postgres.purge", {"table": "jobs", "column": "at", "older_than": "1d"},
     {TABLES: [JOBS], "a.attname = %(column)s": [{**COLUMN, "type": "text"}]}, "is text, not a time"),
    ("postgres.purge", {"table": "jobs", "column": "at", "older_than": "1d", "most": 5},
     {TABLES: [JOBS], "a.attname = %(column)s": [COLUMN], "SELECT count(*)": [{"rows": 6}]}, "more than the 5 allowed"),
    ("postgres.drop_slot", {"slot": "s"}, {"pg_replication_slots": [{**SLOT, "active": True}]}, "in use"),
    ("postgres.drop_slot", {"slot": "s"},
     {"pg_replication_slots": [{**SLOT, "type": "logical", "database": "b"}]}, "belongs to the database b"),
    ("postgres.role", {"role": "postgres"}, {"FROM pg_roles AS r": [{"superuser": True}]}, "is a superuser"),
    ("postgres.explain", {"statement": "VACUUM"}, {}, "explains no VACUUM"),
    ("postgres.query", {"sql": "SELECT 1; SELECT 2"}, {}, "2 statements"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameters", "rows", "reason"), REFUSALS)
async def test_these_facts_are_a_reason_to_refuse(
    facts_of: Any, name: str, parameters: dict[str, Any], rows: dict[str, Rows], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        await plan(name, facts_of(rows), **parameters)


@pytest.mark.parametrize("scope", [{}, {"state": "active"}, {"database": "app"}, {"most": 5}])
async def test_sessions_are_never_ended_without_a_scope(facts_of: Any, scope: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="never ended without a scope"):
        await plan("postgres.terminate", facts_of({}), **scope)


async def test_the_plan_holds_what_is_wanted_and_not_what_was_seen(facts_of: Any) -> None:
    """So that it stays true while facts move that do not matter to it."""
    one, other = JOBS, {**JOBS, "live": 5, "dead": 7000, "bytes": 1}
    for name, parameters in (("postgres.vacuum", {"tables": ["jobs"]}), ("postgres.reindex", {"table": "jobs"})):
        (left,) = await plan(name, facts_of({TABLES: [one], INDEXES: []}), **parameters)
        (right,) = await plan(name, facts_of({TABLES: [other], INDEXES: [{**INDEX, "valid": False}]}), **parameters)
        assert (left.effect, left.guard, left.inverse) == (right.effect, right.guard, right.inverse)
        assert left.evidence != right.evidence


async def test_undo_of_a_setting_is_what_alter_system_said(facts_of: Any) -> None:
    async def undo(row: dict[str, Any]) -> Any:
        (change,) = await plan("postgres.setting", facts_of({SETTINGS: [row]}), name="work_mem", value="8MB")
        return change.inverse.effect["statement"] if isinstance(change.inverse, Change) else change.inverse

    assert await undo(WORK_MEM) == 'ALTER SYSTEM RESET "work_mem"'
    assert await undo({**WORK_MEM, "by_system": True, "shown": "6MB"}) == "ALTER SYSTEM SET \"work_mem\" = '6MB'"
    assert "cannot be read" in await undo({**WORK_MEM, "pending_restart": True})


async def test_a_purge_fixes_its_moment_and_keeps_the_age_in_every_batch(facts_of: Any) -> None:
    rows: dict[str, Rows] = {
        TABLES: [MIXED], "a.attname = %(column)s": [COLUMN], "SELECT count(*)": [{"rows": 3, "oldest": None}],
    }  # fmt: skip
    (change,) = await plan("postgres.purge", facts_of(rows), table='the "x" %', column="at", older_than="90d")
    assert change.effect["parameters"] == {"age": 90 * 86400.0, "zone": "UTC"}
    delete = change.effect["delete"]
    assert delete.count('"at" < %(before)s::timestamp with time zone') == 2
    assert '"the ""x"" %%"' in delete
    assert 'ORDER BY "at"' in delete, "with an index it goes from the oldest on"
    (plain,) = await plan(
        "postgres.purge", facts_of({**rows, "a.attname = %(column)s": [{**COLUMN, "indexed": False}]}),
        table='the "x" %', column="at", older_than="90d",
    )  # fmt: skip
    assert "ORDER BY" not in plain.effect["delete"]
