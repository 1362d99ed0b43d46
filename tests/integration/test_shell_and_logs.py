"""Verbs by which a person looks and works by hand: shell, logs, environment. Real programs, the real audit chain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.connectors.runtimes.contract import Verb
from tests.integration.hands import hands_of
from tests.integration.servers import Postgres, new_postgres, new_redis, until
from tests.integration.supervisord import Supervisord, new_supervisord

pytestmark = pytest.mark.real


class Book:
    """A book on disk, and the command on it."""

    def __init__(self, folder: Path, components: dict[str, Any], **keys: Any) -> None:
        self.folder = folder
        book = {"opsbook": 1, "system": "test", "environments": {"test": {"policy": "open"}}, "components": components}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "book.yaml").write_text(yaml.safe_dump({**book, **keys}))

    def run(self, *words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {k: v for k, v in os.environ.items() if not k.startswith("OPSBOOK")}
        return subprocess.run(
            [sys.executable, "-m", "opsbook", *words], cwd=self.folder, input=stdin, capture_output=True, text=True,
            env={**variables, **environment}, timeout=60,
        )  # fmt: skip

    def acts(self) -> list[dict[str, Any]]:
        return list(json.loads(self.run("audit", "log", "--format", "json").stdout))


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with new_postgres() as one:
        yield one


@pytest.fixture
def book(server: Postgres, tmp_path: Path) -> Book:
    reader, admin = "${READER}", "${ADMIN}"
    return Book(tmp_path, {"database": {"kind": "postgres", "dsn": reader, "admin": admin}})


def secrets(server: Postgres) -> dict[str, str]:
    return {"READER": server.monitor, "ADMIN": server.url(database="app")}


class TestPsql:
    def test_it_only_reads_and_is_recorded(self, book: Book, server: Postgres) -> None:
        done = book.run("shell", "database", "--", "-Atc", "SELECT count(*) FROM jobs", **secrets(server))
        assert (done.returncode, done.stdout) == (0, "20000\n"), done.stderr
        failed = book.run("shell", "database", "--", "-c", "DELETE FROM jobs", **secrets(server))
        assert failed.returncode == 1
        assert "read-only transaction" in failed.stderr or "permission denied" in failed.stderr
        events = [(act["event"], act["outcome"]) for act in book.acts()]
        assert events[:2] == [("shell opened", ""), ("shell closed", "done")]
        assert events[-1] == ("shell closed", "exit 1")
        detail = book.acts()[0]["detail"]
        assert (detail["component"], detail["tool"], detail["write"]) == ("database", "psql", False)
        assert detail["words"] == ["-Atc", "SELECT count(*) FROM jobs"]

    def test_it_writes_by_the_admin_role_when_asked(self, book: Book, server: Postgres) -> None:
        who = book.run("shell", "--write", "database", "--", "-Atc", "SELECT current_user", **secrets(server))
        assert who.stdout == "postgres\n", who.stderr
        assert book.acts()[0]["detail"]["write"] is True

    def test_what_is_typed_goes_in(self, book: Book, server: Postgres) -> None:
        done = book.run("shell", "database", stdin="SHOW default_transaction_read_only;\n", **secrets(server))
        assert "on" in done.stdout
        assert "read-only" in done.stderr

    def test_no_secret_is_in_the_arguments_or_left_behind(self, book: Book, server: Postgres) -> None:
        before = {path.name for path in Path("/tmp").glob("opsbook-shell-*")}
        command = [sys.executable, "-m", "opsbook", "shell", "database", "--", "-c", "SELECT pg_sleep(3)"]
        child = subprocess.Popen(
            command, cwd=book.folder, env={**os.environ, **secrets(server)}, stdout=subprocess.DEVNULL
        )
        try:
            psql = until(lambda: _below(child.pid, "psql"), what="psql runs")
            assert "s3cret-word" not in Path(f"/proc/{psql}/cmdline").read_text()
            assert "s3cret-word" not in Path(f"/proc/{psql}/environ").read_text().split("PGSERVICEFILE")[1][:60]
            (private,) = {path.name for path in Path("/tmp").glob("opsbook-shell-*")} - before
            assert (Path("/tmp") / private).stat().st_mode & 0o077 == 0
        finally:
            assert child.wait(20) == 0
        assert {path.name for path in Path("/tmp").glob("opsbook-shell-*")} <= before

    def test_a_secret_among_the_words_is_masked_in_the_record(self, book: Book, server: Postgres) -> None:
        book.run("shell", "database", "--", "-c", "SELECT 's3cret-word'", **secrets(server))
        assert book.acts()[0]["detail"]["words"] == ["-c", "SELECT '***'"]

    def test_policy_decides_who_may_write(self, server: Postgres, tmp_path: Path) -> None:
        components = {"database": {"kind": "postgres", "dsn": "${READER}", "admin": "${ADMIN}"}}
        policy = {"careful": {"destructive": {"approvals": 1}, "break_glass": ["admin"]}}
        strict = Book(tmp_path, components, environments={"test": {"policy": "careful"}}, policies=policy)
        words = ["shell", "--write", "database", "--", "-Atc", "SELECT 1"]
        refused = strict.run(*words, **secrets(server))
        assert refused.returncode == 4
        assert "must be approved by another person" in refused.stderr
        passed = strict.run("shell", "--break-glass", "P0", *words[1:], **secrets(server))
        assert (passed.returncode, passed.stdout) == (0, "1\n"), passed.stderr
        assert strict.acts()[0]["detail"]["break_glass"] == "P0"


def _below(parent: int, name: str) -> int:
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = entry.read_text()
        except OSError:
            continue
        if f"({name})" in words and int(words.rpartition(")")[2].split()[1]) == parent:
            return int(entry.parent.name)
    return 0


def test_redis_cli_takes_one_command_that_reads(tmp_path: Path) -> None:
    with new_redis("--requirepass", "s3cret-word") as server:
        url = {"CACHE": f"redis://:s3cret-word@127.0.0.1:{server.port}/3"}
        book = Book(tmp_path, {"cache": {"kind": "redis", "url": "${CACHE}"}})
        assert book.run("shell", "--write", "cache", "--", "SET", "a", "1", **url).stdout == "OK\n"
        assert book.run("shell", "cache", "--", "GET", "a", **url).stdout == "1\n"
        assert "keys=1" in book.run("shell", "cache", "--", "INFO", "keyspace", **url).stdout
        assert "db3:" in book.run("shell", "cache", "--", "INFO", "keyspace", **url).stdout
        for words in (
            ["SET", "a", "2"],
            ["FLUSHALL"],
            ["CONFIG", "SET", "maxmemory", "1"],
            ["EVAL", "return 1", "0"],
            [],
        ):
            refused = book.run("shell", "cache", "--", *words, **url)
            assert refused.returncode == 4, (words, refused.stdout, refused.stderr)
            assert "--write" in refused.stderr
        assert book.run("shell", "cache", "--", "GET", "a", **url).stdout == "1\n"


@pytest.fixture(scope="module")
def supervised() -> Iterator[Supervisord]:
    with new_supervisord() as one:
        yield one


@pytest.fixture
async def workloads(supervised: Supervisord) -> Book:
    components = {"worker": {"kind": "workload", "replicas": 2, "env": ["QUEUE", "EMPTY", "ABSENT"]}}
    system = supervised.system(components)
    async with hands_of(system) as hands:
        await hands.apply(await hands.connections.runtime.change("worker", Verb.START, {"replicas": 2}))
    found = Book.__new__(Book)
    found.folder = system.folder
    return found


class TestWorkload:
    def test_a_shell_runs_in_its_place_and_only_when_it_may_write(self, workloads: Book) -> None:
        done = workloads.run("shell", "--write", "worker", "--", "sh", "-c", "echo $QUEUE in $(basename $(pwd -P))")
        assert done.stdout == "harvest in 1.0.0\n", done.stderr
        refused = workloads.run("shell", "worker")
        assert refused.returncode == 4
        assert "add --write" in refused.stderr

    def test_its_logs_are_shown_searched_counted_and_kept(
        self, workloads: Book, supervised: Supervisord, tmp_path: Path
    ) -> None:
        with (supervised.folder / "logs" / "worker_00.log").open("a") as log:
            moment = time.strftime("%Y-%m-%d %H:%M:%S")
            log.write(f"{moment} ERROR ConnectionError: no route\n{moment} ERROR ConnectionError: again\n")
        assert "INFO started" in workloads.run("logs", "worker").stdout
        assert len(workloads.run("logs", "worker", "--tail", "1").stdout.splitlines()) == 1
        found = workloads.run("logs", "worker", "--contains", "no route", "--since", "10m").stdout
        assert found.startswith("worker_00: ")
        assert len(found.splitlines()) == 1
        assert workloads.run("logs", "worker", "--errors").stdout == "       2  ConnectionError\n"
        counted = workloads.run("logs", "worker", "--errors", "--format", "json").stdout
        assert json.loads(counted)["errors"] == {"ConnectionError": 2}
        target = tmp_path / "kept.log"
        told = workloads.run("logs", "worker", "--to", str(target))
        assert f"{len(target.read_text().splitlines())} lines in" in told.stderr
        (line,) = workloads.run("logs", "worker", "--tail", "1", "--format", "json").stdout.splitlines()
        assert set(json.loads(line)) == {"instance", "at", "text"}

    def test_new_lines_are_followed(self, workloads: Book, supervised: Supervisord, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "opsbook", "logs", "worker", "--follow", "--tail", "0"]
        with (tmp_path / "followed").open("wb") as out:
            child = subprocess.Popen(command, cwd=workloads.folder, stdout=out)

        def followed() -> bool:
            with (supervised.folder / "logs" / "worker_01.log").open("a") as log:
                log.write("marked\n")
            return "worker_01: marked" in (tmp_path / "followed").read_text()

        try:
            until(followed, what="the new line is shown")
        finally:
            child.terminate()
            child.wait(10)

    def test_its_environment_is_shown_without_values(self, workloads: Book) -> None:
        done = workloads.run("environment", "worker")
        assert done.returncode == 1, "a variable that the book asks for is missing"
        assert "QUEUE=*** (7 characters)\n" in done.stdout
        assert "harvest" not in done.stdout
        assert "hunter2" not in done.stdout
        assert "ABSENT is missing" in done.stderr
        assert "EMPTY is empty" in done.stderr
        told = json.loads(workloads.run("environment", "worker", "--format", "json").stdout)
        assert told["missing"] == ["EMPTY", "ABSENT"]

    def test_a_name_that_is_wrong_is_told(self, workloads: Book) -> None:
        for verb in ("logs", "environment", "shell"):
            done = workloads.run(verb, "wroker")
            assert done.returncode == 2
            assert "worker" in done.stderr
        assert "no time" in workloads.run("logs", "worker", "--since", "5MB").stderr
