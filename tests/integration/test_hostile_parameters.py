"""Hostile values in `op`, `promql` and `check` fences: they arrive byte for byte, or are refused; none is executed.

`sh`, `sql` and `http` are in test_hostile_values. Real servers judge: what PostgreSQL calls its role, Redis its key,
Prometheus its label, and the disk its file.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from opsbook.book.system import System
from opsbook.clock import SystemClock
from opsbook.connectors.change import Change
from opsbook.connectors.registry import open_connections
from opsbook.engine.compile import compile_procedure
from opsbook.engine.expressions import ExpressionError
from opsbook.engine.facts import RecordedFacts
from opsbook.engine.fences import changes_of
from opsbook.engine.mistakes import InvalidProcedure
from opsbook.engine.reads import read
from opsbook.engine.values import fill
from opsbook.errors import OpsbookError
from opsbook.operations.redis_keys import matcher
from tests.integration.hands import Hands, hands_of
from tests.integration.servers import Postgres, RedisServer, free_port, make_system, own_folder, until
from tests.integration.test_hostile_values import CANARY, PAYLOADS
from tests.integration.web import answer, serving

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
VALUES = [*PAYLOADS, "a\0b", "x" * 1_048_576]
PROMETHEUS = shutil.which("prometheus")


@pytest.fixture
async def hands(postgres_server: Postgres, redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Hands]:
    postgres_server.sql("DROP TABLE IF EXISTS things", "CREATE TABLE things (id int, at timestamptz)")
    (tmp_path / "files").mkdir()
    (tmp_path / "copies").mkdir()
    with serving({"/": answer("ok")}) as web:
        system = make_system(
            tmp_path / "ops",
            {
                "database": {
                    "kind": "postgres",
                    "dsn": postgres_server.monitor,
                    "admin": postgres_server.url(database="app"),
                },
                "cache": {"kind": "redis", "url": redis_server.url.replace("/0", "/7")},
                "files": {"kind": "files", "path": str(tmp_path / "files")},
                "copies": {"kind": "files", "path": str(tmp_path / "copies")},
                "api": {"kind": "http", "url": f"http://127.0.0.1:{web.port}"},
            },
        )
        async with hands_of(system) as one:
            yield one
    assert postgres_server.sql("SELECT count(*) FROM things") == [(0,)], "the table is as it was"
    postgres_server.sql("DROP TABLE things")
    assert not _canaries(tmp_path)


def _canaries(folder: Path) -> list[Path]:
    """What a value that was executed has left behind."""
    return [*folder.rglob(CANARY), *Path().glob(CANARY)]


def _there(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def planned(hands: Hands, fence: str, value: Any) -> list[Change]:
    """The changes of an `op` fence with a value, as a run plans them."""
    system = hands.connections.system
    text = f"---\ntitle: T\nrisk: destructive\nparams: {{v: text}}\n---\n1. Do.\n   ```op\n   {fence}\n   ```\n"
    (step,) = compile_procedure(text, "t.md", system, system.book.catalogue).steps
    return [one async for one in changes_of(step, fill(step, {"v": value}, system), hands.facts)]


async def done(hands: Hands, fence: str, value: Any) -> bool:
    """Whether it was planned and made; False where it was refused with a sentence."""
    try:
        for number, change in enumerate(await planned(hands, fence, value)):
            await hands.apply(change, f"run/hostile/{number}")
    except OpsbookError as error:
        assert error.message and "Traceback" not in str(error)
        return False
    return True


OPERATIONS = [
    'postgres.vacuum: {of: database, tables: ["{{ v }}"]}',
    'postgres.vacuum_full: {of: database, table: "{{ v }}"}',
    'postgres.reindex: {of: database, table: "{{ v }}"}',
    'postgres.create_index: {of: database, table: things, columns: ["{{ v }}"]}',
    'postgres.create_index: {of: database, table: things, columns: [id], method: "{{ v }}"}',
    'postgres.drop_index: {of: database, table: things, index: "{{ v }}"}',
    'postgres.purge: {of: database, table: "{{ v }}", column: at, older_than: 1d}',
    'postgres.purge: {of: database, table: things, column: "{{ v }}", older_than: 1d}',
    'postgres.purge: {of: database, table: things, column: at, older_than: 1d, timezone: "{{ v }}"}',
    'postgres.terminate: {of: database, application: "nobody {{ v }}"}',
    'postgres.cancel: {of: database, user: "nobody {{ v }}"}',
    'postgres.setting: {of: database, name: "{{ v }}", value: "1"}',
    'postgres.setting: {of: database, name: log_line_prefix, value: "{{ v }}"}',
    'postgres.grant: {of: database, role: "{{ v }}", privileges: [SELECT], tables: [things]}',
    'postgres.revoke: {of: database, role: monitor, privileges: [SELECT], tables: ["{{ v }}"]}',
    'postgres.grant: {of: database, role: monitor, privileges: [SELECT], schema: "{{ v }}"}',
    'postgres.drop_slot: {of: database, slot: "{{ v }}"}',
    'redis.unlink: {of: cache, pattern: "no{{ v }}such"}',
    'redis.setting: {of: cache, name: "{{ v }}", value: "1", keep: false}',
    'files.copy: {of: files, to: copies, pattern: "{{ v }}"}',
    'files.copy: {of: files, to: copies, pattern: "*.txt", under: "{{ v }}"}',
    'http.get: {of: api, path: "/{{ v }}"}',
]

SLOW = ("log_line_prefix", "timezone", "pattern", "terminate", "cancel", "http.get")
"""These are really made for every value, and wait for what they did: some of the values do."""


@pytest.mark.parametrize("fence", OPERATIONS, ids=lambda fence: fence.split("{{")[0].strip("[\"' ")[:60])
async def test_a_value_in_a_parameter_is_data_or_is_refused(
    hands: Hands, postgres_server: Postgres, redis_server: RedisServer, tmp_path: Path, fence: str
) -> None:
    (tmp_path / "files" / "a.txt").write_text("a")
    outside = _there(tmp_path)
    with redis_server.client(7) as cache:
        cache.flushdb()
        cache.set("stays", 1)
        before = postgres_server.sql("SELECT count(*) FROM pg_class, pg_roles")
        try:
            for value in VALUES[::5] if any(name in fence for name in SLOW) else VALUES:
                await done(hands, fence, value)
        finally:
            postgres_server.sql("ALTER SYSTEM RESET log_line_prefix", "SELECT pg_reload_conf()")
        if "create_index" not in fence:
            assert postgres_server.sql("SELECT count(*) FROM pg_class, pg_roles") == before
        assert cache.get("stays") == "1"
    assert _there(tmp_path) == outside, "nothing was written outside of its folder"


async def test_a_role_is_called_as_it_was_given(hands: Hands, postgres_server: Postgres) -> None:
    made = 0
    for value in VALUES:
        if await done(hands, 'postgres.role: {of: database, role: "{{ v }}", login: false}', value):
            made += 1
            with postgres_server.connect() as connection:
                found = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = %s", [value]).fetchall()
                assert found == [(value,)]
                quoted = '"' + value.replace('"', '""') + '"'
                connection.execute(f"DROP ROLE {quoted}".encode())
    assert made > 10


async def test_a_file_has_the_content_that_was_given(hands: Hands, tmp_path: Path) -> None:
    for value in VALUES:
        assert await done(hands, 'files.write: {of: files, name: a.txt, content: "{{ v }}"}', value)
        assert (tmp_path / "files" / "a.txt").read_bytes() == value.encode()


async def test_a_file_s_name_stays_in_its_folder(hands: Hands, tmp_path: Path) -> None:
    before = _there(tmp_path)
    for value in VALUES:
        if await done(hands, 'files.write: {of: files, name: "{{ v }}", content: "x"}', value):
            assert (tmp_path / "files" / value).read_text() == "x", value
    assert _there(tmp_path) == before


async def test_a_document_is_sent_as_it_was_given(hands: Hands) -> None:
    for value in VALUES:
        (change,) = await planned(hands, 'http.request: {of: api, path: /x, json: {a: "{{ v }}"}}', value)
        assert json.loads(change.effect["body"]) == {"a": value}


def test_a_pattern_of_keys_means_to_us_what_it_means_to_the_server(redis_server: RedisServer) -> None:
    dice = random.Random(1)
    names = {"".join(dice.choices("ab-]c^\\[z", k=dice.randint(1, 4))) for _ in range(60)}
    with redis_server.client(7) as cache:
        cache.flushdb()
        cache.mset(dict.fromkeys(names, 1))
        for _ in range(500):
            pattern = "".join(dice.choices("ab-]c^\\[z*?", k=dice.randint(1, 7)))
            assert {name for name in names if matcher(pattern).fullmatch(name)} == set(cache.keys(pattern)), pattern
        cache.flushdb()


# PromQL and checks


@pytest.fixture(scope="module")
def prometheus() -> Iterator[System]:
    if PROMETHEUS is None:
        pytest.skip("not installed: prometheus")
    port = free_port()
    with own_folder("prom") as folder:
        (folder / "p.yml").write_text("global: {scrape_interval: 1m}\n")
        process = subprocess.Popen(
            [PROMETHEUS, f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        )  # fmt: skip
        try:
            until(lambda: _ready(port), 60, "Prometheus answers")
            yield make_system(folder, {"prom": {"kind": "prometheus", "url": f"http://127.0.0.1:{port}"}})
        finally:
            process.terminate()
            process.wait(15)


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


async def asked(facts: RecordedFacts, query: str, value: str) -> Any:
    system = facts.system
    text = f"---\ntitle: T\nparams: {{v: text}}\n---\n1. Look.\n   ```promql on=prom\n   {query}\n   ```\n"
    (step,) = compile_procedure(text, "t.md", system, system.book.catalogue).steps
    return await read(step, {"v": value}, facts)


async def test_prometheus_sees_the_value_byte_for_byte(prometheus: System) -> None:
    async with open_connections(prometheus) as connections:
        facts = RecordedFacts(prometheus, SystemClock(), connections)
        for quote in "\"'":
            for value in VALUES[:-1]:
                found = await asked(facts, f"absent(nothing{{got={quote}{{{{ v }}}}{quote}}})", value)
                assert found["series"][0]["labels"] == ({"got": value} if value else {}), value
        for value in VALUES:
            with pytest.raises(ExpressionError):
                await asked(facts, "vector({{ v }})", value)


@pytest.mark.parametrize("fence", ["[{{ v }}]", '["{{ v }}"]', 'checks: ["{{ v }}"]', 'groups: ["{{ v }}"]'])
def test_a_check_fence_takes_no_values(tmp_path: Path, fence: str) -> None:
    system = make_system(tmp_path, {"api": {"kind": "http", "url": "http://127.0.0.1:1"}})
    text = f"---\ntitle: T\nparams: {{v: text}}\n---\n1. Look.\n   ```check\n   {fence}\n   ```\n"
    with pytest.raises(InvalidProcedure):
        compile_procedure(text, "t.md", system, system.book.catalogue)
