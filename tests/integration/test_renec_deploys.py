"""Deploys of the example under load: no request is lost, what is bad goes back by itself, the schema with it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors.migrate import HalfWay
from tests.integration.conftest import Renec, start_renec
from tests.integration.hands import hands_of
from tests.integration.renec import api, rows
from tests.integration.renec_book import OPSBOOK, Book, beside, state_of
from tests.integration.servers import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec-deploys"), pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def renec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renec]:
    """An instance of its own: afterwards its application logs in as another."""
    run_dir = tmp_path_factory.mktemp("deployed") / "run"
    started: Renec | None = None
    try:
        started = start_renec(run_dir)
        yield started
    finally:
        assert (started or Renec(run_dir, 0, {})).run("destroy").returncode == 0


@pytest.fixture(scope="module")
def book(renec: Renec, tmp_path_factory: pytest.TempPathFactory) -> Book:
    ops = beside(renec, tmp_path_factory.mktemp("deploys"))
    text = (ops / "book.yaml").read_text()
    # The figures of a test: it looks for seconds, where people look for minutes.
    # Other tests run on this machine: how fast it answers says nothing here.
    text = re.sub(r"^  watch: 1m$", "  watch: 4s\n  latency: 5s", text, flags=re.MULTILINE)
    (ops / "book.yaml").write_text(re.sub(r"^  wait: 1m$", "  wait: 8s", text, flags=re.MULTILINE))
    return Book(ops, renec)


@contextmanager
def asked(renec: Renec) -> Iterator[Counter[str]]:
    """Requests all the time, each over a connection of its own; what became of them is counted."""
    found: Counter[str] = Counter()
    over = threading.Event()

    def ask() -> None:
        with api(renec) as client:
            while not over.wait(0.05):
                try:
                    answer = client.get("/api/v1/standards", headers={"Connection": "close"})
                    found[str(answer.status_code)] += 1
                except httpx.HTTPError as error:
                    found[type(error).__name__] += 1

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for one in threads:
        one.start()
    try:
        yield found
    finally:
        over.set()
        for one in threads:
            one.join()


def side(renec: Renec) -> str:
    folder = renec.run_dir / "etc" / "nginx"
    now = (folder / "upstream-api.conf").read_text()
    return next(one for one in ("blue", "green") if (folder / f"upstream-api.conf.{one}").read_text() == now)


def version(renec: Renec) -> str:
    with api(renec) as client:
        return str(client.get("/version").json()["version"])


def revision(renec: Renec) -> str:
    return str(rows(renec.env["DATABASE_SUPERUSER_URL"], "SELECT version_num FROM alembic_version")[0][0])


def released(renec: Renec, version: str, *flags: str) -> None:
    """A release that is there already is of an attempt before."""
    if not (renec.run_dir / "releases" / version).exists():
        renec.must("release", version, *flags)


def deploy(book: Book, *words: str) -> dict[str, Any]:
    return book.told(book.opsbook("deploy", *words, "--yes", "--format", "json"))


def test_a_version_is_switched_to_a_bad_one_goes_back_and_the_schema_goes_with_it(book: Book, renec: Renec) -> None:
    released(renec, "3.0.0", "--migration")
    released(renec, "3.1.0", "--migration", "--fault", "crash")
    released(renec, "3.2.0", "--migration", "--fault", "errors")
    first, schema, here = version(renec), revision(renec), side(renec)
    there = "green" if here == "blue" else "blue"
    with asked(renec) as requests:
        view = deploy(book, "api", "3.0.0")
        assert view["state"] == "done", view["message"]
    assert set(requests) == {"200"}, requests
    assert (side(renec), version(renec), revision(renec)) == (there, "3.0.0", "0004")

    with asked(renec) as requests:
        view = deploy(book, "api", "3.1.0")
    assert view["state"] == "undone", view["message"]
    assert state_of(view, "bring-up") != "done"
    assert set(requests) == {"200"}, "one that never becomes ready meets no user"
    view = deploy(book, "api", "3.2.0")
    assert view["state"] == "undone", view["message"]
    assert (side(renec), version(renec), revision(renec)) == (there, "3.0.0", "0004")

    refused = book.opsbook("deploy", "api", first, "--yes")
    assert refused.returncode == 4
    assert f"which the migrations of {first} do not know" in refused.stderr
    back = book.opsbook("rollback", "api", "--to-version", first, "--schema", "--yes", "--format", "json")
    assert book.told(back)["state"] == "done", back.stderr
    assert (version(renec), revision(renec)) == (first, schema)
    view = deploy(book, "api", first)
    assert view["state"] == "done", view["message"]
    assert (side(renec), version(renec), revision(renec)) == (here, first, schema)


async def test_a_migration_that_waits_for_a_lock_gives_up_and_nobody_queues_behind_it(book: Book, renec: Renec) -> None:
    released(renec, "3.3.0", "--migration")
    schema = revision(renec)
    async with hands_of(in_environment(load_book(book.ops / "book.yaml", catalogue()), "rehearsal")) as hands:
        change = await hands.only("migrations.upgrade", of="database", version="3.3.0", lock_timeout="1s")
        assert change.evidence["way back"] == "by its downgrades"
        with psycopg.connect(renec.env["DATABASE_SUPERUSER_URL"]) as holder:
            holder.execute("LOCK TABLE harvest_runs IN ACCESS SHARE MODE")
            with pytest.raises(ChangeFailed, match="lock timeout"):
                await hands.apply(change)
        assert revision(renec) == schema
        await hands.apply(change)
        assert revision(renec) == "0004"
        await hands.undo(change)
    assert revision(renec) == schema


FAILS = """\
revision, down_revision = "0005", "0004"
branch_labels = depends_on = None

def upgrade():
    from alembic import op
    op.execute("ALTER TABLE no_such_table ADD COLUMN a text")

def downgrade():
    pass
"""


async def test_migrations_that_fail_half_way_are_taken_back(book: Book, renec: Renec) -> None:
    released(renec, "3.4.0", "--migration")
    schema = revision(renec)
    (renec.run_dir / "releases" / "3.4.0" / "migrations" / "versions" / "0005_fails.py").write_text(FAILS)
    async with hands_of(in_environment(load_book(book.ops / "book.yaml", catalogue()), "rehearsal")) as hands:
        change = await hands.only("migrations.upgrade", of="database", version="3.4.0")
        with pytest.raises(HalfWay, match=r"no_such_table.*the schema is at 0004 now"):
            await hands.apply(change)
        assert revision(renec) == "0004"
        await hands.undo(change)
    assert revision(renec) == schema


PARTS = ("api", "ui", "worker", "scheduler")


@pytest.fixture(scope="module")
def patient(book: Book) -> Book:
    """The same book, which gives a worker the time that it takes to end its task."""
    ops = book.ops.with_name("patient")
    shutil.copytree(book.ops, ops, ignore=shutil.ignore_patterns(".opsbook"))
    text = (ops / "book.yaml").read_text()
    (ops / "book.yaml").write_text(text.replace("\n  wait: 8s\n", "\n  wait: 90s\n"))
    return Book(ops, book.renec)


def updating(patient: Book, wanted: str) -> dict[str, Any]:
    """An update of all of it, up to where a person says that the versions are chosen."""
    view = patient.run("update-system", *(f"{part}={wanted}" for part in PARTS))
    assert view["state"] == "waits for a person", view["message"]
    return view


@pytest.mark.timeout(900)  # alone it takes one minute
def test_the_whole_system_is_updated_behind_a_banner_and_gone_on_with_after_a_kill(patient: Book, renec: Renec) -> None:
    released(renec, "4.0.0", "--migration")
    banner, before = renec.run_dir / "etc" / "nginx" / "maintenance.conf", side(renec)
    run = updating(patient, "4.0.0")["id"]
    with asked(renec) as requests:
        first = subprocess.Popen([str(OPSBOOK), "runs", "tick", run, "--book", str(patient.ops)],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            until(lambda: (renec.run_dir / "current").resolve().name == "4.0.0", 180, "a version is brought")
            assert banner.read_text() != "", "users read a banner meanwhile"
        finally:
            first.send_signal(signal.SIGKILL)
            first.wait()
        view = patient.told(patient.opsbook("runs", "follow", run, "--format", "json"))
        assert view["state"] == "done", view["message"]
    assert set(requests) == {"200", "503"}, "a banner, and never an error"
    steps = [one["id"] for one in view["steps"] if one["state"] == "done"]
    course = ["well", "before-api", "backup-nightly", "enter", "schema", "bring-up-api", "switch-api", "update-ui",
              "update-worker", "leave", "all-well", "smoke-api", "watch-api", "retire-api"]  # fmt: skip
    assert [one for one in steps if one in course] == course
    assert (version(renec), revision(renec), banner.read_text()) == ("4.0.0", "0004", "")
    assert side(renec) != before


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_an_update_that_is_bad_in_one_part_goes_back_as_a_whole(patient: Book, renec: Renec) -> None:
    released(renec, "4.1.0", "--migration", "--fault", "errors")
    before = version(renec), revision(renec), side(renec)
    with asked(renec) as requests:
        view = patient.ticked(updating(patient, "4.1.0"))
    assert view["state"] == "undone", view["message"]
    assert "requests failed (500" in view["message"]
    assert (version(renec), revision(renec), side(renec)) == before
    assert (renec.run_dir / "etc" / "nginx" / "maintenance.conf").read_text() == ""
    assert requests["503"] > 0
    released(renec, "4.2.0", "--migration")
    page = renec.run_dir / "releases" / "4.2.0" / "src" / "ui" / "main.py"
    page.write_text(page.read_text() + "\nraise SystemExit(3)\n")
    view = patient.ticked(updating(patient, "4.2.0"))
    assert view["state"] == "undone", view["message"]
    assert (version(renec), revision(renec), side(renec)) == before


def test_a_password_is_rotated_under_load_and_the_old_one_is_dead(book: Book, renec: Renec) -> None:
    secret = renec.run_dir / "secrets" / "api_user"
    old = secret.read_text().strip()
    with asked(renec) as requests:
        view = book.run("rotate-database-password")
    assert view["state"] == "done", view["message"]
    assert set(requests) == {"200"}, requests
    assert secret.read_text().strip() != old
    url = re.sub(r"//[^@]*@", f"//api_user:{old}@", renec.env["DATABASE_URL"])
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=5)
    assert old not in Path(book.ops / ".opsbook" / "store.db").read_bytes().decode(errors="replace")
