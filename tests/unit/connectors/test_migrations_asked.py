"""The version that runs is asked where it runs, if that has room; any other in a container of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from opsbook.book.delivery import Migrations
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.migrations import inside
from opsbook.connectors.migrations.inside import CALMLY, MARK, NO_ROOM, ROOM, AlembicInside
from opsbook.connectors.runtimes.contract import Seen
from opsbook.connectors.runtimes.once import Ran

GROUP = {"v2": ("memory.max", "memory.current", "memory.stat", "inactive_file"),
         "v1": ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat",
                "total_inactive_file")}  # fmt: skip
ANSWERED = f"0002 (head)\n{MARK} 0\n"


@pytest.mark.parametrize(
    ("kind", "most", "used", "cache", "room"),
    [
        ("v2", "max", 1 << 40, 0, True),
        ("v2", str(2 * ROOM), ROOM, 0, True), ("v2", str(2 * ROOM), ROOM + 1, 0, False),
        ("v2", str(2 * ROOM), 2 * ROOM, ROOM, True), ("v1", "9223372036854771712", ROOM, 0, True),
        ("v1", str(ROOM), 1, 0, False), ("v1", str(ROOM), ROOM, ROOM, True), ("", "", 0, 0, False),
    ],
)  # fmt: skip
def test_it_runs_beside_what_serves_only_with_memory_to_spare(
    tmp_path: Path, kind: str, most: str, used: int, cache: int, room: bool
) -> None:
    (tmp_path / "memory").mkdir()
    if kind:
        limit, current, stat, name = GROUP[kind]
        for path, text in ((limit, most), (current, str(used)), (stat, f"anon 5\n{name} {cache}\nfile 7")):
            (tmp_path / path).write_text(f"{text}\n")
    script = CALMLY.replace("/sys/fs/cgroup", str(tmp_path)) + "\ncat /proc/self/oom_score_adj; $calm echo asked"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == ((0, "1000\nasked\n", "") if room else (NO_ROOM, "", ""))


class Runtime:
    """A workload of one instance."""

    def __init__(self, version: str, ready: bool, seen: Seen | ReadFailed) -> None:
        self.version, self.ready, self.seen = version, ready, seen
        self.looks: list[Any] = []

    async def status(self, workload: str) -> Any:
        return SimpleNamespace(version=self.version, instances=[SimpleNamespace(name="api-1", ready=self.ready)])

    async def look_inside(
        self, workload: str, argv: Sequence[str], seconds: float, *, instances: Sequence[str] | None, every: bool
    ) -> Sequence[Seen]:
        self.looks.append((workload, instances, argv))
        if isinstance(self.seen, ReadFailed):
            raise self.seen
        return [self.seen]


def seen(code: int | None, said: str) -> Seen:
    return Seen("api-1", code, said)


@pytest.mark.parametrize(
    ("version", "ready", "answer", "made"),
    [
        ("2", True, seen(0, ANSWERED), False),
        ("1", True, seen(0, ANSWERED), True),
        ("1, 2", True, seen(0, ANSWERED), True),
        ("2", False, seen(0, ANSWERED), True),
        ("2", True, seen(NO_ROOM, ""), True),
        ("2", True, seen(None, ""), True),
        ("2", True, seen(0, "cut o"), True),
        ("2", True, ReadFailed("no pod runs"), True),
    ],
)
async def test_a_container_is_made_only_where_none_that_runs_can_answer(
    monkeypatch: pytest.MonkeyPatch, version: str, ready: bool, answer: Any, made: bool
) -> None:
    runtime, once = Runtime(version, ready, answer), list[Any]()

    async def run_once(_: Any, wanted: Any, out: Any) -> Ran:
        once.append(wanted)
        return Ran(0, ANSWERED)

    monkeypatch.setattr(inside, "run_once", run_once)
    settings = Migrations.model_validate({"of": "database", "inside": "api", "folder": "/app/{version}"})
    system: Any = SimpleNamespace(resolve=lambda reference: reference.text)
    connections: Any = SimpleNamespace(runtime=runtime)
    tool = AlembicInside(system, settings, "2", connections, "api")
    assert await tool.head() == "0002" and await tool.head() == "0002"
    assert len(once) == made and bool(tool.asked) == made
    if not made:
        ((workload, instances, argv),) = runtime.looks
        assert (workload, instances) == ("api", ["api-1"]) and "cd -- /app/2 ||" in argv[-1]
