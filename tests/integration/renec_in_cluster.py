"""The example on the Kubernetes that is given: a namespace of its own with all of it, and its book; gone at the end."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.cluster import GIVEN, NOT_GIVEN
from tests.integration.conftest import COMMAND
from tests.integration.servers import own_folder
from tests.integration.turns import together

UP_SECONDS, RUN_SECONDS = 900, 300
OPSBOOK = Path(sys.executable).with_name("opsbook")
NAMESPACE = "namespace: renec-harvester"


def lacking() -> str:
    """Why the example cannot run in a cluster here; empty where it can."""
    if not GIVEN:
        return NOT_GIVEN
    if not os.environ.get("RENEC_LOAD_IMAGE"):
        return "nothing says how an image comes to the cluster: set RENEC_LOAD_IMAGE"
    if os.geteuid() != 0:
        return "making the example's image needs root"
    if not os.environ.get("RENEC_BASE_IMAGE") and shutil.which("debootstrap") is None:
        return "debootstrap is not installed, and RENEC_BASE_IMAGE names no image"
    return ""


@dataclass(frozen=True)
class RenecInCluster:
    """A running instance in a namespace, and its book beside it."""

    folder: Path
    namespace: str

    @property
    def ops(self) -> Path:
        return self.folder / "ops"

    def renec(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The `renec` command on this instance."""
        return self._run([sys.executable, str(COMMAND), *arguments, "--on", "kubernetes"], UP_SECONDS)

    def opsbook(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A verb of opsbook in the environment `kubernetes` of its book."""
        return self._run([str(OPSBOOK), *arguments, "--book", str(self.ops), "--env", "kubernetes"], RUN_SECONDS)

    def run(self, procedure: str, *words: str) -> dict[str, Any]:
        """Run a procedure to where it ends or waits; the run as `opsbook runs show` tells it."""
        done = self.opsbook("run", procedure, *words, "--yes", "--format", "json")
        assert done.stdout, f"exit {done.returncode}: {done.stderr}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def checks(self, *ids: str) -> dict[str, str]:
        """Check → its state now."""
        done = self.opsbook("check", *(word for id in ids for word in ("--only", id)), "--format", "json")
        assert done.returncode in (0, 1), done.stderr
        return {result["id"]: result["state"] for result in json.loads(done.stdout)["results"]}

    def _run(self, argv: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
        run = {"RENEC_RUN": str(self.folder / ".run"), "RENEC_NAMESPACE": self.namespace}
        store = {"OPSBOOK_STORE": str(self.folder / "store.db"), "RENEC_VOLUMES": str(self.folder / "volumes")}
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=seconds, env={**os.environ, **run, **store},
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip


@contextmanager
def new_renec_in_cluster() -> Iterator[RenecInCluster]:
    """All of it, ready. What was begun is taken away, whatever happens."""
    name = f"renec-{secrets.token_hex(4)}"
    with together(name), own_folder("renec-k8s") as folder:
        instance = RenecInCluster(folder, name)
        ignored = shutil.ignore_patterns(".opsbook")
        shutil.copytree(COMMAND.parent / "ops", instance.ops, ignore=ignored)
        book = instance.ops / "book.yaml"
        text = book.read_text()
        assert text.count(NAMESPACE) == 1
        book.write_text(text.replace(NAMESPACE, f"namespace: {instance.namespace}"))
        try:
            done = instance.renec("up")
            assert done.returncode == 0, done.stderr
            yield instance
        finally:
            gone = instance.renec("destroy")
            assert gone.returncode == 0, gone.stderr
