"""Two users of one host with the SQLite store as it comes: one asks, another approves and executes."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

OPSBOOK = Path(sys.executable).with_name("opsbook")
BOOK = """
opsbook: 1
system: kiln
environments:
  production: {policy: two}
  rehearsal: {policy: open}
default_environment: production
policies: {two: {disruptive: {approvals: 1}}}
components: {api: {kind: http, url: "http://127.0.0.1:1"}}
"""
CAREFUL = (
    "---\ntitle: Careful\nrisk: disruptive\n---\n1. Do it.\n   ```sh id=do risk=disruptive\n   id -un > who\n   ```\n"
)
OTHER, GROUP = "nobody", "nogroup"
READS = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""Reads everywhere, as this opsbook may lie in a closed folder; where it may write is up to the modes."""


@pytest.fixture
def folder() -> Iterator[Path]:
    if os.getuid() != 0:
        pytest.skip("only root can act as two users")
    # Not below pytest's own folder, into which only its user may look.
    found = Path(tempfile.mkdtemp(prefix="opsbook-two-"))
    try:
        shutil.chown(found, group=GROUP)
        found.chmod(0o2770)
        (found / "book.yaml").write_text(BOOK)
        (found / "procedures").mkdir()
        (found / "procedures" / "careful.md").write_text(CAREFUL)
        for one in (found / "book.yaml", found / "procedures", found / "procedures" / "careful.md"):
            one.chmod(0o750)
        yield found
    finally:
        shutil.rmtree(found)


def opsbook(folder: Path, *words: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
    become = () if user is None else ("setpriv", f"--reuid={user}", f"--regid={GROUP}", "--clear-groups", *READS)
    env = {**os.environ, "HOME": str(folder)}
    env.pop("OPSBOOK_STORE", None)
    return subprocess.run(
        [*become, str(OPSBOOK), *words], cwd=folder, env=env, capture_output=True, text=True, timeout=60, umask=0o022,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def test_another_user_can_approve_and_the_record_names_both(folder: Path) -> None:
    asked = opsbook(folder, "run", "careful", "--yes", "--format", "json")
    assert asked.returncode == 4, asked.stderr
    run = json.loads(asked.stdout)["id"]
    for path in (folder / ".opsbook").iterdir():
        if path.name != ".gitignore":
            assert not stat.S_IMODE(path.stat().st_mode) & 0o007, path
    done = opsbook(folder, "approve", run, "--yes", user=OTHER)
    assert done.returncode == 0, done.stderr
    assert (folder / "who").read_text() == f"{OTHER}\n"
    log = json.loads(opsbook(folder, "audit", "log", "--format", "json", "--run", run).stdout)
    by_event = {one["event"]: one for one in log}
    assert by_event["requested"]["actor"] == "root" and by_event["approved"]["actor"] == OTHER
    assert by_event["begins"]["actor"] == "root"
    assert by_event["begins"]["origin"].startswith(f"executed by {OTHER} on ")
    assert opsbook(folder, "audit", "verify").returncode == 0


def test_runs_of_one_environment_are_listed_alone(folder: Path) -> None:
    opsbook(folder, "run", "careful", "--yes", "--env", "rehearsal")
    opsbook(folder, "run", "careful", "--yes", "--env", "production")

    def listed(*words: str) -> list[str]:
        return [one["environment"] for one in json.loads(opsbook(folder, "runs", "--format", "json", *words).stdout)]

    assert sorted(listed()) == ["production", "rehearsal"]
    assert listed("--env", "rehearsal") == ["rehearsal"] and listed("--env", "production") == ["production"]
