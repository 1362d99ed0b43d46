"""The example's own procedures, rehearsed on the example; a rotten one; and where no rehearsal may be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.integration.conftest import Renec
from tests.integration.renec_book import beside, harvested
from tests.integration.servers import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec-rehearsals"), pytest.mark.timeout(900)]
OPSBOOK = Path(sys.executable).with_name("opsbook")
UNKNOWN_HERE = "parameter 'version'"
"""The only thing that is neither in the book nor found in an instance of one release: the version to go back to."""

ROTTEN = """---
title: A procedure that has rotted
params: {replicas: {type: int, example: 4}}
lock: [api]
---
1. Give the API another process.

   ```op id=scale
   workload.scale: {of: api, replicas: "{{ replicas }}"}
   ```

2. - [ ] Somebody looks at the page.

3. Ask a view that is gone.

   ```sql id=gone on=database
   SELECT * FROM harvests_of_yesterday
   ```

4. Never reached.

   ```check id=never
   - api-up
   ```
"""


@pytest.fixture(scope="module")
def ops(renec: Renec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example's book and procedures beside this session's instance, which has harvested once."""
    harvested(renec)
    yield beside(renec, tmp_path_factory.mktemp("rehearsed"))
    renec.must("mend", "all")


def opsbook(ops: Path, *arguments: str, timeout: float = 800) -> subprocess.CompletedProcess[str]:
    command = [str(OPSBOOK), *arguments, "--book", str(ops)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def rehearse(ops: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = opsbook(ops, "rehearse", "--format", "json", *arguments)
    assert done.stdout.startswith("{"), done.stderr
    return done.returncode, json.loads(done.stdout)


def audited(ops: Path, run: str) -> list[dict[str, Any]]:
    done = opsbook(ops, "audit", "export")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [one for one in records if one.get("run") == run]


def test_every_procedure_of_the_example_works_or_says_what_it_needs(ops: Path) -> None:
    _, found = rehearse(ops, "--keep-going")
    told = {one["procedure"]: one for one in found["outcomes"]}
    assert sorted(told) == sorted(path.stem for path in (ops / "procedures").glob("*.md"))
    # What measures times fails on a machine that others use as well: it is given a second chance.
    unwell = "a system that is well"
    if failed := [name for name, one in told.items() if one["verdict"] == "fails" or unwell in one["message"]]:
        _, again = rehearse(ops, "--keep-going", "--procedures", ",".join(failed))
        told |= {one["procedure"]: one for one in again["outcomes"]}
    assert {name: one["sentence"] for name, one in told.items() if one["verdict"] not in ("works", "needs")} == {}
    needy = {name: one["message"] for name, one in told.items() if one["verdict"] == "needs"}
    assert [name for name, why in needy.items() if UNKNOWN_HERE not in why] == []
    # What can be taken back was taken back.
    assert told["scale-application"]["undo"]["undone"] == 3
    assert [one for one in told.values() if one["undo"]["failed"]] == []
    assert all(one["seconds"] > 0 for one in told.values() if one["verdict"] == "works")


def test_a_rotten_procedure_fails_at_its_rotten_step_and_leaves_nothing(renec: Renec, ops: Path) -> None:
    rotten = ops / "procedures" / "rotten.md"
    rotten.write_text(ROTTEN)
    try:
        code, found = rehearse(ops, "--procedures", "rotten,tune-redis")
        _, again = rehearse(ops, "--procedures", "rotten,tune-redis", "--keep-going")
        junit = opsbook(ops, "rehearse", "--procedures", "rotten", "--format", "junit")
        records = audited(ops, found["outcomes"][0]["run"])
    finally:
        rotten.unlink()
    failed, after = found["outcomes"]
    assert (code, failed["verdict"], failed["number"], failed["step"]) == (1, "fails", 3, "gone")
    assert "harvests_of_yesterday" in failed["message"]
    assert (failed["undo"]["undone"], after["verdict"]) == (1, "left out")
    assert [one["verdict"] for one in again["outcomes"]] == ["fails", "works"]
    case = ElementTree.fromstring(junit.stdout).find(".//testcase[@name='rotten']/failure")
    assert case is not None and case.get("type") == "gone"
    running = [line for line in renec.supervisorctl("status", "api:*").splitlines() if "RUNNING" in line]
    assert len(running) == 3
    # The act of a person was answered by the rehearsal, and the record says by whom and where.
    (ticked,) = [one for one in records if one["event"] == "act done"]
    assert ticked["actor"] == "rehearsal" and found["id"] in ticked["origin"]


def test_approvals_are_given_by_another_than_the_one_who_asks(ops: Path) -> None:
    book = ops / "book.yaml"
    before = book.read_text()
    strict = yaml.safe_load(before)
    strict["environments"]["rehearsal"]["policy"] = "two"
    strict.setdefault("policies", {})["two"] = {"disruptive": {"approvals": 1, "confirm": True}}
    strict.pop("access", None)
    try:
        book.write_text(yaml.safe_dump(strict))
        code, found = rehearse(ops, "--procedures", "tune-redis")
        assert (code, found["outcomes"][0]["verdict"]) == (0, "works"), found["outcomes"][0]["sentence"]
        (approved,) = [one for one in audited(ops, found["outcomes"][0]["run"]) if one["event"] == "approved"]
        assert approved["actor"] == "rehearsal"
        strict["access"] = {"admin": ["root", "group:root"], "viewer": ["rehearsal"]}
        book.write_text(yaml.safe_dump(strict))
        code, found = rehearse(ops, "--procedures", "tune-redis")
        assert (code, found["outcomes"][0]["verdict"]) == (1, "needs")
        assert "rehearsal may not approve disruptive plans" in found["outcomes"][0]["message"]
    finally:
        book.write_text(before)


def test_what_was_broken_has_fired_and_is_remembered(renec: Renec, tmp_path: Path) -> None:
    # Checks that fired in rehearsals before are remembered: a book of its own has none of them.
    harvested(renec)
    ops = beside(renec, tmp_path)
    _, found = rehearse(ops, "--procedures", "tune-redis")
    assert "worker-replicas" in {one["name"] for one in found["silent"]}
    with renec.broken("stopped-worker"):
        _, found = rehearse(ops, "--procedures", "tune-redis")
    assert "worker-replicas" not in {one["name"] for one in found["silent"]}
    _, later = rehearse(ops, "--procedures", "tune-redis")
    assert "worker-replicas" not in {one["name"] for one in later["silent"]}
    assert later["rehearsals"] == found["rehearsals"] + 1
    assert {one["kind"] for one in later["silent"]} == {"check", "alert"}


def test_a_rehearsal_that_was_cut_off_is_taken_back_by_the_next(renec: Renec, ops: Path) -> None:
    def api_processes() -> int:
        return renec.supervisorctl("status", "api:*").count("RUNNING")

    slow = ops / "procedures" / "slow.md"
    text = ROTTEN.replace("SELECT * FROM harvests_of_yesterday", "SELECT pg_sleep(60)")
    slow.write_text(text.replace("replicas: {type: int, example: 4}", "replicas: {type: int, example: 5}"))
    try:
        command = [str(OPSBOOK), "rehearse", "--procedures", "slow", "--book", str(ops)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: api_processes() == 5, 60)
        process.kill()
        process.wait(30)
        done = opsbook(ops, "rehearse", "--procedures", "tune-redis")
    finally:
        slow.unlink()
    assert "whose rehearsal was cut off" in done.stderr
    assert done.returncode == 0, done.stdout
    assert api_processes() == 3


def test_a_system_that_is_not_disposable_is_refused(ops: Path) -> None:
    book = ops / "book.yaml"
    before = book.read_text()
    try:
        book.write_text(before.replace("disposable: true", "disposable: false"))
        done = opsbook(ops, "rehearse", "--env", "rehearsal")
    finally:
        book.write_text(before)
    assert done.returncode == 4
    assert "rehearsal is not disposable" in done.stderr
    assert done.stdout == ""


def test_the_rendered_manual_knows_the_rehearsal_and_lint_finds_nothing_in_it(ops: Path) -> None:
    written = ops / "manual.md"
    assert opsbook(ops, "rehearse", "--procedures", "tune-redis").returncode == 0
    assert opsbook(ops, "render", "--out", str(written)).returncode == 0
    linted = subprocess.run([str(OPSBOOK), "lint", str(written)], capture_output=True, text=True, check=False)
    assert linted.returncode == 0 and "no findings" in linted.stdout + linted.stderr, linted.stdout
    row = next(line for line in written.read_text().splitlines() if line.startswith("| [Tune Redis]"))
    assert "works 20" in row
