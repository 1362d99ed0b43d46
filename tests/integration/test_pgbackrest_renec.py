"""Rows of the example deleted by mistake come back as they were just before, while people use it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.conftest import Renec
from tests.integration.renec import rows
from tests.integration.renec_book import Book, harvested

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgbackrest is not installed"),
    pytest.mark.xdist_group("renec"),
    pytest.mark.timeout(600),
]
COUNT = "SELECT count(*) FROM ec_standards_v2"


def execute(renec: Renec, *statements: str, database: str = "") -> None:
    with psycopg.connect(renec.env["DATABASE_SUPERUSER_URL"], autocommit=True, dbname=database or None) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def archived(renec: Renec, ops: Path) -> Iterator[Book]:
    """The example's book, with its log archived until the test ends."""
    harvested(renec)
    book = Book(ops, renec)
    try:
        book.done("configure-wal")
        yield book
    finally:
        execute(
            renec, "ALTER SYSTEM RESET archive_command", "ALTER SYSTEM RESET archive_timeout", "SELECT pg_reload_conf()"
        )
        shutil.rmtree(Path(renec.env["BACKUP_DIR"], "renec-harvester", "wal"), ignore_errors=True)


def test_rows_deleted_by_mistake_come_back_as_they_were_just_before(archived: Book, renec: Renec) -> None:
    taken = archived.opsbook("backup", "wal", "--yes")
    assert taken.returncode == 0, taken.stderr
    assert "(full)" in taken.stdout
    listed = json.loads(archived.opsbook("backups", "list", "wal", "--format", "json").stdout)
    assert [one["type"] for one in listed["wal"]["backups"]] == ["full"]

    url = renec.env["DATABASE_SUPERUSER_URL"]
    before = rows(url, COUNT)
    assert before[0][0] > 0
    ((moment,),) = rows(url, "SELECT clock_timestamp()::text")
    execute(renec, "DELETE FROM ec_standards_v2 WHERE id % 2 = 0")
    assert rows(url, COUNT) != before

    done = archived.opsbook(
        "restore", "wal", "--at", moment, "--switch", "--to", "just_before", "--yes", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert rows(url, COUNT) == before
    table = told["writes_after"]["tables"]["public.ec_standards_v2"]
    assert table["then"] > table["now"]
    (api,) = [one for one in told["services"] if one["service"] == "api"]
    assert api["requests"] > api["errors"], "it was asked all the time, and answers again"
    assert told["write_stop_seconds"] > 0
    try:
        given = ("--in-place", "--tables", "ec_standards_v2", "--yes", "--format", "json")
        ((late,),) = rows(url, "SELECT (now() - interval '1 day')::text")
        assert archived.opsbook("restore", "wal", "--at", late, *given).returncode == 4, "before the first backup"
    finally:
        execute(renec, f'DROP DATABASE "{told["kept"]}" WITH (FORCE)', database="postgres")
