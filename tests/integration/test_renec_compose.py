"""The example in containers: up, all of it well, procedures rehearsed, faults seen and mended, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Renec, free_base, variables_of
from tests.integration.podman import lacking as lacking_podman
from tests.integration.renec_book import Book, beside

UP_SECONDS, WELL_SECONDS = 400, 300
OF_THE_MACHINE = {"cpu", "memory", "disk", "api-latency"}
"""A machine that others use too may be slow or full, and no fault of the containers."""
BEFORE_A_HARVEST = {"coverage", "freshness", "freshness-task", "harvest-duration", "harvest-success", "harvest-speed"}


def lacking() -> str:
    """Why the example cannot be brought up in containers here; empty where it can."""
    if os.environ.get("OPSBOOK_TEST_RENEC_COMPOSE") != "1":
        return "the example in containers takes minutes: set OPSBOOK_TEST_RENEC_COMPOSE=1"
    if reason := lacking_podman():
        return reason
    if not (shutil.which("docker-compose") or shutil.which("docker")):
        return "docker compose is not installed"
    return ""


pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("compose"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]


@pytest.fixture(scope="module")
def renec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renec]:
    run_dir = tmp_path_factory.mktemp("contained") / "run"
    unready = Renec(run_dir, free_base(), {})
    try:
        done = unready.run("up", "--on", "compose", timeout=UP_SECONDS)
        assert done.returncode == 0, done.stderr
        yield Renec(run_dir, unready.base, variables_of(run_dir / "compose" / "env"))
    finally:
        gone = unready.run("destroy", "--on", "compose", timeout=UP_SECONDS)
        assert gone.returncode == 0, gone.stderr
        assert not (run_dir / "compose").exists()


@pytest.fixture(scope="module")
def book(renec: Renec, tmp_path_factory: pytest.TempPathFactory) -> Book:
    return Book(beside(renec, tmp_path_factory.mktemp("book")), renec)


def test_everything_is_well_and_procedures_work_there(renec: Renec, book: Book) -> None:
    assert "running" in renec.must("status", "--on", "compose")
    assert "api               running  3 of 3" in renec.must("status", "--on", "compose")
    deadline, bad = time.monotonic() + WELL_SECONDS, {"": ""}
    while bad and time.monotonic() < deadline:
        told = json.loads(book.opsbook("check", "--env", "compose", "--format", "json").stdout)
        bad = {one["id"]: one["sentence"] for one in told["results"] if one["state"] in ("critical", "unknown")}
        bad = {name: said for name, said in bad.items() if name not in OF_THE_MACHINE | BEFORE_A_HARVEST}
    assert bad == {}

    done = book.opsbook("rehearse", "--env", "compose", "--keep-going", "--format", "json",
                        "--procedures", "scale-application")  # fmt: skip
    found = {one["procedure"]: one["sentence"] for one in json.loads(done.stdout)["outcomes"]}
    assert found == {"scale-application": "works"}


def test_what_is_broken_is_seen_and_mended(renec: Renec, book: Book) -> None:
    renec.must("break", "stopped-worker", "--on", "compose")
    try:
        assert renec.run("status", "--on", "compose").returncode == 1
        seen = json.loads(
            book.opsbook("check", "--env", "compose", "--only", "worker-replicas", "--format", "json").stdout
        )
        assert [one["state"] for one in seen["results"]] == ["critical"]
    finally:
        renec.must("mend", "all", "--on", "compose")
    assert renec.run("status", "--on", "compose").returncode == 0
