"""Requests lost of 200 a second while the example is deployed and rolled back, on plain processes and in containers.

Asked by hey from this machine, each request over a connection of its own through nginx. `deploys` counts the same
within a Kubernetes. Takes some minutes and about 2 GB of memory.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from figures import Figure, tell
from tests.integration import podman
from tests.integration.conftest import Renec, free_base, variables_of
from tests.integration.renec_book import Book, beside
from tests.integration.servers import until

THREADS, EACH = 8, 25
UP_SECONDS, LONGEST = 600, "20m"
GOOD, BAD = (f"3.{os.getpid()}.{n}" for n in (0, 1))
"""Names of their own: images stay where they were built."""
COURSES = {
    "blue-green": ("deploy", "api", GOOD, "--strategy", "blue-green"),
    "rollback": ("rollback", "api"),
    "a version that answers 500": ("deploy", "api", BAD, "--strategy", "blue-green"),
    "rolling": ("deploy", "ui", GOOD, "--strategy", "rolling"),
}
ENDS = {"a version that answers 500": "undone"}
ADDRESSES = {"rolling": "/ui/health"}
SAID = re.compile(r"^\s*\[(\d+)\]\s+(\d+) responses", re.MULTILINE)
FAILED = re.compile(r"^\s*\[(\d+)\]\s+(?!\d+ responses)\S", re.MULTILINE)


def main() -> None:
    if shutil.which("hey") is None:
        print("hey is not installed (Debian: hey)")
        return
    chosen = sys.argv[1:] or ["supervisor", "compose"]
    if "supervisor" in chosen:
        counted("supervisor")
    if "compose" not in chosen:
        return
    if reason := podman.lacking():
        print(reason)
    else:
        counted("compose")


def counted(on: str) -> None:
    """The courses on one runtime."""
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as folder, up(on, Path(folder)) as renec:
        renec.must("release", GOOD, "--on", on)
        renec.must("release", BAD, "--fault", "errors", "--on", on)
        ops = beside(renec, Path(folder) / "beside")
        book = Book(ops, renec)
        text = (ops / "book.yaml").read_text()
        (ops / "book.yaml").write_text(text.replace("\n  watch: 1m\n", "\n  watch: 10s\n  latency: 5s\n"))
        where = () if on == "supervisor" else ("--env", on)
        until(lambda: book.opsbook("check", *where, "--only", "api-replicas").returncode == 0, UP_SECONDS)
        for name, words in COURSES.items():
            address = f"{renec.env['API_URL']}{ADDRESSES.get(name, '/api/v1/standards')}"
            with asked(address) as requests:
                view = book.told(book.opsbook(*words, *where, "--yes", "--format", "json"))
            assert view["state"] == ENDS.get(name, "done"), view["message"]
            every = sum(requests.values())
            lost = every - requests.get("200", 0)
            tell(Figure(f"{on}, {name}: requests lost of {every:,}", lost, "requests", aim="" if name in ENDS else "0"))


@contextmanager
def up(on: str, folder: Path) -> Iterator[Renec]:
    """The example there, and gone afterwards."""
    unready = Renec(folder / "run", free_base(), {})
    try:
        done = unready.run("up", "--on", on, timeout=UP_SECONDS)
        assert done.returncode == 0, done.stderr
        variables = unready.run_dir / "env" if on == "supervisor" else unready.run_dir / on / "env"
        yield Renec(unready.run_dir, unready.base, variables_of(variables))
    finally:
        unready.run("destroy", "--on", on, timeout=UP_SECONDS)


@contextmanager
def asked(address: str) -> Iterator[dict[str, int]]:
    """Status → how many, of the requests during the block; `failed` for those without an answer."""
    found: dict[str, int] = {}
    command = ["hey", "-z", LONGEST, "-c", str(THREADS), "-q", str(EACH), "-disable-keepalive", address]
    hey = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ})
    try:
        yield found
    finally:
        hey.send_signal(signal.SIGINT)
        said, _ = hey.communicate(timeout=60)
    found |= {status: int(number) for status, number in SAID.findall(said)}
    if failed := sum(int(number) for number in FAILED.findall(said)):
        found["failed"] = failed


if __name__ == "__main__":
    main()
