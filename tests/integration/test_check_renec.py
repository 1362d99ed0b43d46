"""The morning check of the example's own book, on the example itself."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Renec
from tests.integration.servers import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec-book"), pytest.mark.timeout(240)]
OPSBOOK = Path(sys.executable).with_name("opsbook")
LATENCY = "api-latency"
OVERLOADED = 3.0
"""Processes that want a core, for each there is, from which on it is the machine that makes the API slow."""
TIMEOUT_SECONDS = 10.0
"""The book's own timeout of a check."""


def opsbook(ops: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(OPSBOOK), *arguments, "--book", str(ops), "--env", "rehearsal"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def check(ops: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    done = opsbook(ops, "check", "--format", "json")
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, {result["id"]: result for result in json.loads(done.stdout)["results"]}


def bad(results: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {id: r["sentence"] for id, r in results.items() if r["state"] in ("critical", "unknown") and not r["cause"]}


def settled(ops: Path) -> dict[str, dict[str, Any]]:
    """The results once nothing is bad any more."""
    last: dict[str, dict[str, Any]] = {}

    def fine() -> bool:
        nonlocal last
        _, last = check(ops)
        waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
        return set(bad(last)) <= ({LATENCY} if waiting > OVERLOADED else set())

    try:
        until(fine, 90)
    except AssertionError:
        pytest.fail(f"still bad: {bad(last)}")
    return last


def test_every_check_has_value_and_unit_when_all_is_well(ops: Path) -> None:
    results = settled(ops)
    assert len(results) >= 30
    assert [id for id, result in results.items() if result["value"] is None or result["unit"] is None] == []


def test_a_stopped_database_is_one_cause_with_its_consequences_folded(renec: Renec, ops: Path) -> None:
    settled(ops)
    renec.supervisorctl("stop", "postgres")
    try:
        started = time.monotonic()
        code, results = check(ops)
        took = time.monotonic() - started
    finally:
        renec.supervisorctl("start", "postgres")
    assert code == 1
    assert list(bad(results)) == ["database-up"]
    assert "refused" in results["database-up"]["sentence"]
    followers = [id for id, result in results.items() if result["cause"] == "database-up"]
    assert {"api-ready", "connections", "replication-lag", "coverage"} <= set(followers)
    assert took < TIMEOUT_SECONDS + 5
    settled(ops)


@pytest.mark.parametrize(
    ("switch", "numbers", "expected"),
    [
        ("slow-api", {}, "api-latency"),
        ("certificate-expiring", {}, "certificate"),
        ("full-disk", {}, "artifacts-quota"),
        ("connections-exhausted", {}, "connections-ratio"),
    ],
)
def test_what_a_switch_spoils_is_found(
    renec: Renec, ops: Path, switch: str, numbers: dict[str, float], expected: str
) -> None:
    found: dict[str, dict[str, Any]] = {}

    def critical() -> bool:
        nonlocal found
        found = check(ops)[1]
        return bool(found[expected]["state"] == "critical")

    with renec.broken(switch, **numbers):
        try:
            until(critical, 40)
        except AssertionError:
            pytest.fail(f"{expected} did not turn critical: {found[expected]}")
    settled(ops)


def test_stopped_workers_explain_what_waits_for_them(renec: Renec, ops: Path) -> None:
    with renec.broken("stopped-worker"):
        _, results = check(ops)
        assert results["workers"]["state"] == "critical"
    settled(ops)


def test_replication_that_stands_still_shows_as_lag(renec: Renec, ops: Path) -> None:
    with renec.broken("replication-stopped"):
        until(lambda: check(ops)[1]["replication-lag"]["state"] != "ok", 60, "the lag did not show")
    settled(ops)


def test_history_draws_what_was_stored(ops: Path) -> None:
    check(ops)
    done = opsbook(ops, "check", "--history", "api-latency")
    assert done.returncode == 0
    assert any(bar in done.stdout for bar in "▁▂▃▄▅▆▇█")


def test_only_chosen_checks_run(ops: Path) -> None:
    done = opsbook(ops, "check", "--only", "daily", "--component", "database", "--format", "json")
    results = json.loads(done.stdout)["results"]
    assert {result["component"] for result in results} == {"database"}
    assert opsbook(ops, "check", "--only", "databse-up").returncode == 2


def test_a_store_that_cannot_be_written_does_not_keep_anybody_from_checking(ops: Path) -> None:
    command = [str(OPSBOOK), "check", "--book", str(ops), "--only", "database-up"]
    env = {**os.environ, "OPSBOOK_STORE": "/proc/nowhere/store.db"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.returncode == 0
    assert "history is not kept" in done.stderr
    assert "Traceback" not in done.stderr


def drain(terminal: int, into: bytearray) -> None:
    """What is written to a terminal, until nobody has it open."""
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 65536):
            into += piece


def test_watch_ends_cleanly_when_interrupted(ops: Path) -> None:
    leader, follower = pty.openpty()
    command = [str(OPSBOOK), "check", "--book", str(ops), "--component", "database", "--watch"]
    # A shell that runs the tests in the background has them ignore the interrupt, and so would their children.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = subprocess.Popen(command, stdout=follower, stderr=subprocess.PIPE, **heard)
    try:
        os.close(follower)
        seen = bytearray()
        # Read to the end: a process whose terminal is full waits for it to be read, also when it is interrupted.
        reader = threading.Thread(target=drain, args=(leader, seen))
        reader.start()
        until(lambda: b"of" in seen, 30, "nothing was shown")
        process.send_signal(2)
        _, errors = process.communicate(timeout=60)
        reader.join(10)
    finally:
        process.kill()
        os.close(leader)
    assert process.returncode == 130
    assert b"Traceback" not in errors
