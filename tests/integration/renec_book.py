"""The example's own book beside a running instance, and its runbooks as a person runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.conftest import COMMAND, Renec
from tests.integration.renec import rows

OPSBOOK = Path(sys.executable).with_name("opsbook")
RUN_SECONDS = 300


@dataclass(frozen=True)
class Book:
    """A copy of `ops/` that finds the instance by its `.run` link."""

    ops: Path
    renec: Renec

    def opsbook(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A verb of opsbook on this book; nobody is at its terminal."""
        return subprocess.run(
            [str(OPSBOOK), *arguments, "--book", str(self.ops)], capture_output=True, text=True, timeout=RUN_SECONDS,
            env={**os.environ, **variables}, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def run(self, procedure: str, *words: str) -> dict[str, Any]:
        """Run a procedure to where it ends or waits, without a question; the run as `opsbook runs show` tells it."""
        done = self.opsbook("run", procedure, *words, "--yes", "--format", "json")
        assert "Traceback" not in done.stderr, done.stderr
        return self.told(done)

    def done(self, procedure: str, *words: str) -> dict[str, Any]:
        """As `run`, and it must end well."""
        view = self.run(procedure, *words)
        assert view["state"] == "done", f"{procedure}: {view['state']}: {view['message']}"
        return view

    def told(self, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        """The run that a verb printed as JSON."""
        assert done.stdout, f"exit {done.returncode}: {done.stderr}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def ticked(self, view: dict[str, Any]) -> dict[str, Any]:
        """The run after every act of a person that it asks for."""
        while view["state"] == "waits for a person":
            view = self.told(self.opsbook("runs", "tick", view["id"], "--format", "json"))
        return view

    def checks(self, *ids: str) -> dict[str, str]:
        """Check → its state now."""
        done = self.opsbook("check", *(word for id in ids for word in ("--only", id)), "--format", "json")
        assert done.returncode in (0, 1), done.stderr
        return {result["id"]: result["state"] for result in json.loads(done.stdout)["results"]}


def harvested(renec: Renec) -> None:
    """The instance has the whole register, by a harvest of now or of a test before."""
    if not rows(renec.env["DATABASE_URL"], "SELECT FROM harvest_runs WHERE mode = 'full' AND status = 'completed'"):
        renec.must("harvest")


def beside(renec: Renec, folder: Path) -> Path:
    """A copy of the example's book in a folder, with the link by which it finds the instance."""
    shutil.copytree(COMMAND.parent / "ops", folder / "ops", ignore=shutil.ignore_patterns(".opsbook"))
    (folder / ".run").symlink_to(renec.run_dir)
    return folder / "ops"


def state_of(view: dict[str, Any], step: str) -> str:
    """How a step of a run stands."""
    return str(next(one["state"] for one in view["steps"] if one["id"] == step))
