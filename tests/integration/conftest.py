"""The RENEC Harvester as a fixture: an instance of its own, on free ports, gone at the end."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.turns import one_by_one, uncounted

COMMAND = Path(__file__).parents[2] / "examples" / "renec" / "renec"
OFFSETS = (0, 1, 2, 10, 25, 80, 90, 379, 432, 433, 443, 632, 900, 903)
UP_SECONDS, COMMAND_SECONDS = 200, 90
NEEDED = ("nginx", "pgbouncer", "redis-server")


@dataclass(frozen=True)
class Renec:
    """A running instance. `env` holds the variables of its `env` file: addresses with passwords, folders."""

    run_dir: Path
    base: int
    env: dict[str, str]

    def run(self, *arguments: str, timeout: float = COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
        """The `renec` command on this instance; stdout and stderr are captured."""
        variables = {**os.environ, "RENEC_RUN": str(self.run_dir), "RENEC_PORT_BASE": str(self.base)}
        command = [sys.executable, str(COMMAND), *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=timeout, check=False)

    def must(self, *arguments: str) -> str:
        """As `run`, and it must succeed; returns what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"renec {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def break_(self, name: str, **parameters: float) -> None:
        """Throw a switch, as in `break_("slow-api", seconds=1.5)`."""
        settings = [word for key, value in parameters.items() for word in ("--set", f"{key}={value}")]
        self.must("break", name, *settings)

    def mend(self, name: str = "all") -> None:
        self.must("mend", name)

    @contextmanager
    def broken(self, name: str, **parameters: float) -> Iterator[None]:
        """A switch that is thrown for the length of a block."""
        self.break_(name, **parameters)
        try:
            yield
        finally:
            self.mend(name)

    def supervisorctl(self, *arguments: str) -> str:
        program = Path(sys.executable).with_name("supervisorctl")
        command = [str(program), "-c", self.env["SUPERVISOR_CONFIG"], *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
        return done.stdout


def is_free(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_base() -> int:
    """A base all of whose ports are free; below the range from which the kernel takes ports for clients.

    Workers of one session choose among different ones, since each looks before the other has bound its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    bases = range(19000 + 1000 * (worker % 12), 31000, 1000 * min(workers, 12))
    for base in random.sample(bases, len(bases)):
        if all(is_free(base + offset) for offset in OFFSETS):
            return base
    pytest.skip("no free range of ports")


def variables_of(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def start_renec(run_dir: Path) -> Renec:
    """Set an instance up and return when all of it is ready."""
    with one_by_one("renec"), uncounted(UP_SECONDS):
        unready = Renec(run_dir, free_base(), {})
        done = unready.run("up", timeout=UP_SECONDS)
    assert done.returncode == 0, done.stderr
    return Renec(run_dir, unready.base, variables_of(run_dir / "env"))


@pytest.fixture(scope="session")
def renec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renec]:
    """One instance for all tests of this process, without a harvest. A test mends what it breaks.

    Groups of tests that use one are `renec`, `renec-book`, `renec-runbooks` and `renec-rehearsals`: workers share what
    would be the longest chain of all.
    """
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin"
    absent = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    run_dir = tmp_path_factory.mktemp("renec") / "run"
    instance: Renec | None = None
    try:
        instance = start_renec(run_dir)
        yield instance
    finally:
        # destroying what never came up whole is right too, and does nothing where nothing is left
        done = (instance or Renec(run_dir, 0, {})).run("destroy")
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def ops(renec: Renec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's book beside this session's instance, which has harvested once; a store of its own per module."""
    from tests.integration.renec_book import beside, harvested

    harvested(renec)
    return beside(renec, tmp_path_factory.mktemp("book"))
