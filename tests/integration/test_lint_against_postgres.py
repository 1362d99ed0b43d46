"""What lint says of SQL is what a real server says."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from opsbook.manual.catalogue import postgres as catalogue
from opsbook.manual.document import read_document
from opsbook.manual.lint import all_rules
from opsbook.manual.lint.context import Context
from tests.integration.servers import BIN, STATEMENTS_LIBRARY, Postgres, new_postgres

pytestmark = pytest.mark.real

RULES = {rule.id: rule for rule in all_rules()}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with new_postgres() as one:
        with one.connect() as connection:
            connection.execute("CREATE TABLE orders (id int, user_id int, created_at timestamptz)")
            if STATEMENTS_LIBRARY.exists():
                connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        yield one


def _answers(server: Postgres, manual: str) -> list[str]:
    """The error of each statement of a manual, empty where the server took it."""
    said = []
    for statement in Context(read_document(manual, "m.md"), None).statements:
        with server.connect() as connection:
            try:
                connection.execute(statement.bare.encode())
                said.append("")
            except psycopg.Error as error:
                said.append(str(error).split("\n")[0])
    return said


@pytest.mark.parametrize("rule", ["OB201", "OB202", "OB203", "OB206", "OB223"])
def test_the_server_refuses_the_bad_example_and_takes_the_good_one(server: Postgres, rule: str) -> None:
    if rule in ("OB202", "OB223") and not STATEMENTS_LIBRARY.exists():
        pytest.skip("pg_stat_statements is not installed")
    assert any(_answers(server, RULES[rule].bad))
    assert not any(_answers(server, RULES[rule].good))


def test_a_reload_leaves_a_restart_setting_pending(server: Postgres) -> None:
    with server.connect() as connection:
        connection.execute("ALTER SYSTEM SET shared_buffers = '64MB'")
        connection.execute("ALTER SYSTEM SET work_mem = '5MB'")
        connection.execute("SELECT pg_reload_conf()")
    with server.connect() as connection:
        pending = connection.execute("SELECT name FROM pg_settings WHERE pending_restart").fetchall()
    assert ("shared_buffers",) in pending and ("work_mem",) not in pending


def test_one_command_with_several_statements_is_one_transaction(server: Postgres) -> None:
    connection = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "-d", "postgres"]
    together = ["-c", "DROP DATABASE IF EXISTS nothing; CREATE DATABASE nothing"]
    done = subprocess.run([str(BIN / "psql"), *connection, *together], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "cannot run inside a transaction block" in done.stderr
    own = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "-d", "app", "-c", "DROP DATABASE app"]
    done = subprocess.run([str(BIN / "psql"), *own], capture_output=True, text=True, check=False)
    assert "cannot drop the currently open database" in done.stderr


def test_the_catalogue_holds_every_column_and_setting_of_the_server(server: Postgres) -> None:
    with server.connect() as connection:
        columns = connection.execute(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
            "WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v') AND NOT a.attisdropped"
        ).fetchall()
        settings = connection.execute("SELECT name, context FROM pg_settings WHERE name NOT LIKE '%.%'").fetchall()
    assert [(r, c) for r, c in columns if c not in (catalogue.columns(r) or ())] == []
    known = {name: catalogue.setting(name) for name, _ in settings}
    assert [
        name for name, context in settings if (known[name] or catalogue.Setting("", "", "", "", ())).context != context
    ] == []
