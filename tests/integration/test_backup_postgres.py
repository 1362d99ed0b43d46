"""A dump of a real server: complete, of one moment, whatever its tables are called and whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from opsbook.connectors.backups.postgres_facts import row_sum
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.registry import open_connections, registered
from tests.integration.backups import Desk, desk
from tests.integration.eventually import eventually
from tests.integration.executing import RUN
from tests.integration.servers import BIN, Postgres, new_pair, until

pytestmark = pytest.mark.real

HOSTILE_SCHEMA = '"My ""Schema"""'
HOSTILE = HOSTILE_SCHEMA + '."a.b; DROP TABLE x --\'$$%I:name"'
SCHEMA = f"""
CREATE SCHEMA {HOSTILE_SCHEMA};
CREATE TABLE {HOSTILE} ("we""ird Col" int, "select" text, twice int GENERATED ALWAYS AS ("we""ird Col" * 2) STORED);
INSERT INTO {HOSTILE} SELECT n, E'line\\nbreak\\t\\\\ and ü' || n FROM generate_series(1, 50) AS n;
CREATE TABLE nothing ();
INSERT INTO nothing SELECT FROM generate_series(1, 3);
CREATE TABLE events (id int GENERATED ALWAYS AS IDENTITY, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE events_rest PARTITION OF events DEFAULT;
INSERT INTO events (at) SELECT '2024-12-01'::date + n FROM generate_series(0, 99) AS n;
CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3);
CREATE UNLOGGED TABLE quick (a int); INSERT INTO quick VALUES (7);
CREATE EXTENSION postgres_fdw;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE far (a int) SERVER elsewhere;
CREATE MATERIALIZED VIEW first_view AS SELECT count(*) AS n FROM parent;
CREATE VIEW between_views AS SELECT n FROM first_view;
CREATE MATERIALIZED VIEW a_second_view AS SELECT n + 1 AS m FROM between_views;
CREATE MATERIALIZED VIEW empty_view AS SELECT 1 AS one WITH NO DATA;
SELECT lo_from_bytea(0, 'a large object');
CREATE TABLE big (id int PRIMARY KEY, filler text);
INSERT INTO big SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, 20000) AS n;
CREATE ROLE owner_of_some; ALTER TABLE parent OWNER TO owner_of_some;
ALTER DATABASE app SET work_mem = '7MB';
SELECT nextval('jobs_id_seq');
ANALYZE;
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    """A primary with all kinds of tables, and its standby."""
    with new_pair() as (primary, replica):
        with primary.connect() as connection:
            connection.execute(SCHEMA.encode())
        until(lambda: primary.replayed(replica), what="the standby has it all")
        yield primary, replica


@pytest.fixture
def own(pair: tuple[Postgres, Postgres], tmp_path: Path) -> Desk:
    """A book with a backup of each kind."""
    primary, replica = pair
    url, other = primary.url(database="app"), replica.url(database="app")
    components = {"database": {"kind": "postgres", "dsn": url, "replica": other}}
    backups = [
        {"id": "nightly", "of": "database", "jobs": 2},
        {"id": "slim", "of": "database", "exclude": ["public.big", "jobs"]},
        {"id": "structure", "of": "database", "method": "schema"},
        {"id": "chosen", "of": "database", "method": "tables", "tables": ["events", "public.par*"]},
        {"id": "absent", "of": "database", "method": "tables", "tables": ["public.no_such"]},
        {"id": "roles", "of": "database", "method": "globals"},
        {"id": "huge", "of": "database", "smallest": "1TB"},
        {"id": "slow", "of": "database", "rate": "200kB", "compress": "none"},
        {"id": "hasty", "of": "database", "rate": "200kB", "compress": "none", "timeout": "1s"},
    ]
    return desk(tmp_path, components, backups)


def as_sql(archive: bytes) -> str:
    """What pg_restore reads in an archive."""
    argv = [str(BIN / "pg_restore"), "-f", "-"]
    return subprocess.run(argv, input=archive, capture_output=True, check=True).stdout.decode()


def started(script: str) -> subprocess.Popen[bytes]:
    """A process of its own, to be killed."""
    return subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])


def sessions(server: Postgres) -> int:
    ((count,),) = server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'opsbook:%'")
    return int(count)


async def test_a_dump_holds_every_row_of_every_table_and_says_how_it_is_proven(
    own: Desk, pair: tuple[Postgres, Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsbook.connectors.backups.postgres_dump.PART", 1 << 20)
    told = await own.take("nightly")
    one = own.newest("nightly")
    database = one.manifest.database
    assert one.whole
    assert database is not None
    assert told["stamp"] == one.manifest.stamp
    rows = {table.name: table.rows for table in database.tables}
    assert rows == {
        HOSTILE: 50, "public.nothing": 3, "public.events_2024": 31, "public.events_rest": 69, "public.parent": 1,
        "public.child": 1, "public.quick": 1, "public.big": 20000, "public.jobs": 20000,
    }  # fmt: skip
    assert told["rows"] == sum(rows.values())
    columns = {table.name: table.columns for table in database.tables}
    assert columns[HOSTILE] == ('we"ird Col', "select")
    # Cut in several parts, of which each row is in exactly one.
    assert len([part for part in one.manifest.parts if part.table == "public.big"]) > 2
    numbers = [int(line.split(b"\t")[0]) for line in own.content("nightly", table="public.big").splitlines()]
    assert sorted(numbers) == list(range(1, 20001))
    # The checksums are those that a restored table must have, summed up over all parts.
    with pair[0].connect() as connection:
        for table in database.tables:
            assert row_sum(connection, table.name, table.columns) == (table.rows, table.checksum), table.name
    assert database.materialized == ("public.first_view", "public.a_second_view")
    assert {"owner_of_some", "postgres"} <= set(database.roles)
    assert database.settings == {"work_mem": "7MB"}
    assert {(one.name, one.is_called) for one in database.sequences} >= {("public.jobs_id_seq", True)}
    assert "postgres_fdw" in database.extensions
    assert not database.from_replica
    roles = {part.role for part in one.manifest.parts}
    assert roles == {"data", "schema", "globals", "blobs"}
    assert b"CREATE ROLE owner_of_some" in own.content("nightly", role="globals")
    blobs = as_sql(own.content("nightly", role="blobs"))
    assert "lo_open" in blobs
    assert "COPY" not in blobs
    assert sessions(pair[0]) == 0


async def test_a_dump_is_of_one_moment_whatever_is_written_meanwhile(
    own: Desk, pair: tuple[Postgres, Postgres]
) -> None:
    primary = pair[0]
    primary.sql("DROP TABLE IF EXISTS a_side, b_side", "CREATE TABLE a_side (n int)", "CREATE TABLE b_side (n int)")
    stop = asyncio.Event()

    async def move() -> int:
        # Both sides always have the same number of rows, in every committed state.
        done = 0
        async with await psycopg.AsyncConnection.connect(primary.url(database="app")) as connection:
            while not stop.is_set():
                await connection.execute("INSERT INTO a_side VALUES (1)")
                await connection.execute("INSERT INTO b_side VALUES (1)")
                await connection.commit()
                done += 1
        return done

    moving = asyncio.ensure_future(move())
    try:
        await eventually(lambda: int(primary.sql("SELECT count(*) FROM a_side")[0][0]) > 5)
        await own.take("nightly")
    finally:
        stop.set()
        await moving
    database = own.newest("nightly").manifest.database
    assert database is not None
    rows = {table.name: table.rows for table in database.tables}
    assert rows["public.a_side"] == rows["public.b_side"] > 5
    assert primary.sql("SELECT count(*) FROM a_side")[0][0] > rows["public.a_side"]
    primary.sql("DROP TABLE a_side, b_side")


async def test_it_reads_a_standby_and_says_what_that_cannot_give(own: Desk) -> None:
    await own.take("nightly", replica=True)
    database = own.newest("nightly").manifest.database
    assert database is not None
    assert database.from_replica
    names = {table.name for table in database.tables}
    assert "public.big" in names
    assert "public.quick" not in names
    await eventually(lambda: "public.quick: its rows are left out" in own.output.text)


async def test_it_backs_up_structure_roles_and_chosen_tables_alone(own: Desk) -> None:
    await own.take("structure")
    assert [part.role for part in own.newest("structure").manifest.parts] == ["schema"]
    await own.take("roles")
    roles = own.newest("roles").manifest
    assert [part.role for part in roles.parts] == ["globals"]
    assert roles.database is None
    await own.take("chosen")
    chosen = own.newest("chosen").manifest.database
    assert chosen is not None
    # A partitioned table means its partitions.
    assert {table.name for table in chosen.tables} == {"public.events_2024", "public.events_rest", "public.parent"}
    schema = as_sql(own.content("chosen", role="schema"))
    assert "PARTITION OF public.events" in schema or "ATTACH PARTITION public.events_2024" in schema
    assert "CREATE TABLE public.jobs" not in schema
    await own.take("slim")
    slim = own.newest("slim").manifest.database
    assert slim is not None
    assert not {"public.big", "public.jobs"} & {table.name for table in slim.tables}
    assert b"public.big" not in own.content("slim", role="data")
    with pytest.raises(ChangeFailed, match=r"no table public\.no_such"):
        await own.take("absent")


async def test_what_cannot_be_believed_is_not_listed(own: Desk, pair: tuple[Postgres, Postgres]) -> None:
    with pytest.raises(ChangeFailed, match="smallest"):
        await own.take("huge")
    with pytest.raises(ChangeFailed, match="longer than 1 s"):
        await own.take("hasty")
    assert own.listed("huge").backups == own.listed("hasty").backups == ()
    # Nothing is left of either: no object, no session with its snapshot.
    assert own.tree() == {}
    assert sessions(pair[0]) == 0


async def test_a_cancelled_backup_leaves_no_program_no_session_and_no_object(
    own: Desk, pair: tuple[Postgres, Postgres]
) -> None:
    working = asyncio.ensure_future(own.take("slow"))
    await eventually(lambda: sessions(pair[0]) >= 2 and any(".writing" in name for name in own.tree()), 60)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert sessions(pair[0]) == 0
    assert own.tree() == {}
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND state <> 'active'"
    ((snapshots,),) = pair[0].sql(query)
    assert snapshots == 0


async def test_what_a_killed_attempt_left_is_ended_and_removed_before_it_is_tried_again(
    own: Desk, pair: tuple[Postgres, Postgres]
) -> None:
    key = f"{RUN}/take/0"
    script = f"""
import asyncio
from pathlib import Path
from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from tests.integration.backups import Desk
folder = Path({str(own.folder)!r})
system = in_environment(load_book(folder / "book.yaml", catalogue()), "test")
asyncio.run(Desk(folder, system).take("slow", key={key!r}))
"""
    process = started(script)
    try:
        until(lambda: process.poll() is None and any("attempt" in name for name in own.tree()), 60, "it has begun")
        until(lambda: sessions(pair[0]) >= 2, 60, "rows are being read")
    finally:
        process.kill()
        process.wait(10)
    assert own.listed("slow").backups == ()
    assert len(own.listed("slow").attempts) == 1
    (change,) = await own.changes("backup.take", "slow")
    async with open_connections(own.system, own.head) as connections:
        executor = registered().executors["backup"](connections)
        assert await executor.end(key, change)
    assert sessions(pair[0]) == 0
    own.system.book.path.write_text(own.system.book.path.read_text().replace("rate: 200kB", "jobs: 1"))
    again = desk_of(own)
    await again.take("slow")
    assert again.newest("slow").whole
    assert again.listed("slow").attempts == ()


def desk_of(own: Desk) -> Desk:
    from opsbook.book.load import load_book
    from opsbook.book.system import in_environment
    from opsbook.catalogue import catalogue

    return Desk(own.folder, in_environment(load_book(own.system.book.path, catalogue()), "test"))


async def test_a_role_that_may_not_read_all_is_told_what_it_lacks_without_its_password(
    own: Desk, pair: tuple[Postgres, Postgres], tmp_path: Path
) -> None:
    url = pair[0].url("stranger", "app", "s3cret-word")
    components = {"database": {"kind": "postgres", "dsn": url}}
    poor = desk(tmp_path / "poor", components, [{"id": "nightly", "of": "database"}])
    with pytest.raises(ChangeFailed) as failed:
        await poor.take("nightly")
    assert "permission denied" in failed.value.message
    assert "pg_read_all_data" in failed.value.hint
    (change,) = await poor.changes("backup.take", "nightly")
    assert "s3cret-word" not in f"{failed.value}{json.dumps(change.effect)}{poor.output.text}"
    assert poor.tree() == {}
