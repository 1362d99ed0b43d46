"""What supervisor is asked to change: shown first, applied exactly, undone by its inverse."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from opsbook.connectors.change import Change, Done, More
from opsbook.connectors.registry import OpenConnections, open_connections, registered
from opsbook.connectors.runtimes.contract import Unsupported, Verb
from opsbook.connectors.runtimes.supervisor import Supervisor
from opsbook.connectors.runtimes.supervisor_exec import CommandFailed, CommandUnended, _carriers
from opsbook.connectors.runtimes.supervisor_executor import NotReady
from opsbook.errors import OpsbookError, Refused, UsageError
from tests.integration.eventually import eventually
from tests.integration.supervisord import Supervisord, new_supervisord

pytestmark = pytest.mark.real


class Out:
    """Takes what a change says."""

    def __init__(self) -> None:
        self.text = ""

    async def write(self, text: str) -> None:
        self.text += text


class Hands:
    """Plans and applies, as the engine does."""

    def __init__(self, connections: OpenConnections) -> None:
        runtime = connections.runtime
        assert isinstance(runtime, Supervisor)
        self.runtime, self.out = runtime, Out()
        self.executor = registered().executors["supervisor"](connections)
        self.steps = 0

    async def plan(self, workload: str, verb: Verb, **arguments: Any) -> Change:
        return await self.runtime.change(workload, verb, arguments)

    async def apply(self, change: Change, key: str = "run/1/0") -> Any:
        cursor: Any = None
        self.steps = 0
        while True:
            self.steps += 1
            done = await self.executor.apply(key, change, cursor, self.out)
            if isinstance(done, Done):
                return done.result
            assert isinstance(done, More)
            cursor = done.cursor

    async def do(self, workload: str, verb: Verb, **arguments: Any) -> Any:
        return await self.apply(await self.plan(workload, verb, **arguments))

    async def states(self, workload: str) -> list[str]:
        return [p.state for p in self.runtime.chosen(await self.runtime.look(), workload)]

    async def pids(self, workload: str) -> dict[str, int]:
        found = self.runtime.chosen(await self.runtime.look(), workload)
        return {p.name: p.pid for p in found if p.pid}

    async def ready(self, workload: str) -> int:
        return (await self.states(workload)).count("RUNNING")


@pytest.fixture(scope="module")
def shared() -> Iterator[Supervisord]:
    with new_supervisord() as server:
        yield server


@asynccontextmanager
async def opened(server: Supervisord, **runtime: str) -> AsyncIterator[Hands]:
    async with open_connections(server.system(None, **runtime)) as connections:
        yield Hands(connections)


@pytest.fixture
async def hands(shared: Supervisord) -> AsyncIterator[Hands]:
    async with opened(shared) as one:
        for workload in ("worker", "web", "single"):
            await one.do(workload, Verb.STOP)
        one.out.text = ""
        yield one


async def test_it_scales_within_the_slots_and_back(hands: Hands) -> None:
    change = await hands.plan("worker", Verb.SCALE, replicas=3)
    assert await hands.states("worker") == ["STOPPED"] * 4, "planning changes nothing"
    assert change.effect == {"verb": "scale", "workload": "worker", "replicas": 3, "wait": 60}
    assert change.evidence["ready"] == 0
    assert await hands.apply(change) == {"workload": "worker", "replicas": 3, "before": 0}
    assert await hands.states("worker") == ["RUNNING"] * 3 + ["STOPPED"]
    assert isinstance(change.inverse, Change)
    await hands.apply(change.inverse)
    assert await hands.states("worker") == ["STOPPED"] * 4


async def test_it_keeps_the_processes_that_run_when_it_scales(hands: Hands) -> None:
    await hands.do("worker", Verb.SCALE, replicas=2)
    before = await hands.pids("worker")
    await hands.do("worker", Verb.SCALE, replicas=3)
    after = await hands.pids("worker")
    assert len(after) == 3
    assert before.items() <= after.items()


async def test_it_does_nothing_when_a_scale_is_applied_again(hands: Hands) -> None:
    change = await hands.plan("worker", Verb.SCALE, replicas=2)
    await hands.apply(change)
    before = await hands.pids("worker")
    await hands.apply(change)
    assert await hands.pids("worker") == before


async def test_it_says_how_to_get_more_slots(hands: Hands) -> None:
    with pytest.raises(Unsupported, match="has 4 slots") as caught:
        await hands.plan("worker", Verb.SCALE, replicas=5)
    assert "numprocs" in caught.value.hint


async def test_a_rolling_restart_replaces_one_process_at_a_time(hands: Hands) -> None:
    await hands.do("worker", Verb.SCALE, replicas=3)
    before = await hands.pids("worker")
    change = await hands.plan("worker", Verb.RESTART)
    least = 3
    cursor: Any = None
    while True:
        task = asyncio.create_task(hands.executor.apply("k", change, cursor, hands.out))
        while not task.done():
            least = min(least, await hands.ready("worker"))
        done = await task
        if isinstance(done, Done):
            break
        cursor = done.cursor
        assert done.progress["of"] == 3
    after = await hands.pids("worker")
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)
    assert least == 2


async def test_a_restart_goes_on_where_it_was_cut(hands: Hands) -> None:
    await hands.do("worker", Verb.SCALE, replicas=3)
    change = await hands.plan("worker", Verb.RESTART)
    first = await hands.executor.apply("k", change, None, hands.out)
    assert isinstance(first, More)
    kept = (await hands.pids("worker"))["worker_00"]
    async with opened_again(hands) as others:
        cursor: Any = first.cursor
        while isinstance(done := await others.executor.apply("k", change, cursor, others.out), More):
            cursor = done.cursor
    assert (await hands.pids("worker"))["worker_00"] == kept


@asynccontextmanager
async def opened_again(hands: Hands) -> AsyncIterator[Hands]:
    async with open_connections(hands.runtime._system) as connections:
        yield Hands(connections)


async def test_a_shared_socket_answers_all_through_a_restart(hands: Hands, shared: Supervisord) -> None:
    await hands.do("web", Verb.SCALE, replicas=1)
    refused = asked = 0
    running = True
    visited = asyncio.Semaphore(0)

    async def visitor() -> None:
        nonlocal refused, asked
        while running:
            asked += 1
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", shared.port)
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                await reader.read()
                writer.close()
            except OSError:
                refused += 1
            visited.release()
            await asyncio.sleep(0.01)

    async def three_more() -> None:
        async with asyncio.timeout(60):
            for _ in range(3):
                await visited.acquire()

    visits = asyncio.create_task(visitor())
    await three_more()  # the first process has begun to listen
    await hands.do("web", Verb.RESTART)
    await three_more()
    running = False
    await visits
    assert asked > 5
    assert refused == 0
    assert await hands.states("web") == ["RUNNING", "STOPPED"], "the spare process is gone again"


async def test_a_deploy_switches_the_symlink_and_restarts_one_by_one(hands: Hands, shared: Supervisord) -> None:
    await hands.do("worker", Verb.SCALE, replicas=2)
    await hands.do("worker", Verb.DEPLOY, version="1.0.0")
    before = await hands.pids("worker")
    change = await hands.plan("worker", Verb.DEPLOY, version="1.1.0")
    assert (shared.folder / "current").resolve().name == "1.0.0"
    assert change.guard["version"] == "1.0.0"
    result = await hands.apply(change)
    assert result["version"] == "1.1.0"
    assert (shared.folder / "current").resolve().name == "1.1.0"
    after = await hands.pids("worker")
    assert all(after[name] != before[name] for name in before)
    assert (await hands.runtime.status("worker")).version == "1.1.0"
    await hands.do("worker", Verb.DEPLOY, version="1.2.0")
    revisions = await hands.runtime.revisions("worker")
    assert [(r.version, r.current) for r in revisions] == [("1.0.0", False), ("1.1.0", False), ("1.2.0", True)]
    back = await hands.plan("worker", Verb.ROLLBACK)
    assert back.effect["version"] == "1.1.0"
    await hands.apply(back)
    assert (shared.folder / "current").resolve().name == "1.1.0"


async def test_a_second_workload_may_join_a_deploy(hands: Hands, shared: Supervisord) -> None:
    await hands.do("worker", Verb.SCALE, replicas=1)
    await hands.do("single", Verb.START)
    await hands.do("worker", Verb.DEPLOY, version="1.0.0")
    first = await hands.plan("worker", Verb.DEPLOY, version="1.2.0")
    second = await hands.plan("single", Verb.DEPLOY, version="1.2.0")
    await hands.apply(first)
    await hands.apply(second)

    async def runs() -> bool:  # a process that was just forked lies in no release yet
        return (await hands.runtime.status("single")).version == "1.2.0"

    await eventually(runs)


async def test_it_refuses_a_deploy_when_another_version_came_between(hands: Hands) -> None:
    await hands.do("worker", Verb.SCALE, replicas=1)
    await hands.do("worker", Verb.DEPLOY, version="1.0.0")
    change = await hands.plan("worker", Verb.DEPLOY, version="1.2.0")
    await hands.do("worker", Verb.DEPLOY, version="1.1.0")
    before = await hands.pids("worker")
    with pytest.raises(Refused, match=r"points to 1\.1\.0 now"):
        await hands.apply(change)
    assert await hands.pids("worker") == before


@pytest.mark.parametrize("version", ["../../etc", "9.9.9", ".", "/etc", "1.0.0/../1.1.0", "$(id)"])
async def test_only_a_release_that_is_there_is_a_version(hands: Hands, version: str) -> None:
    with pytest.raises(UsageError, match="there is no release"):
        await hands.plan("worker", Verb.DEPLOY, version=version)


async def test_it_does_not_pretend_to_deploy_what_runs_elsewhere(hands: Hands) -> None:
    with pytest.raises(Unsupported, match="does not run from"):
        await hands.plan("web", Verb.DEPLOY, version="1.1.0")


@pytest.mark.parametrize(
    "name", ["", "nobody", "worker:worker_00", "worker*", "../worker", "worker; id", "a" * 5000, "\x00", "<x/>"]
)
async def test_a_hostile_name_is_only_an_unknown_workload(hands: Hands, name: str) -> None:
    for verb in (Verb.STOP, Verb.RESTART, Verb.START):
        with pytest.raises(UsageError, match="holds no workload named"):
            await hands.plan(name, verb)


async def test_a_process_that_does_not_come_up_is_told_with_its_reason(hands: Hands) -> None:
    with pytest.raises(NotReady, match="gave up starting it") as caught:
        await hands.do("crasher", Verb.START)
    assert "crasher" in caught.value.message
    with pytest.raises(NotReady, match="/does/not/exist"):
        await hands.do("absent", Verb.START)


async def test_start_and_stop_undo_each_other(hands: Hands) -> None:
    start = await hands.plan("worker", Verb.START)
    await hands.apply(start)
    assert await hands.ready("worker") == 4
    stop = await hands.plan("worker", Verb.STOP)
    await hands.apply(stop)
    await hands.apply(stop)
    assert await hands.ready("worker") == 0
    assert isinstance(stop.inverse, Change)
    await hands.apply(stop.inverse)
    assert await hands.ready("worker") == 4
    assert isinstance(start.inverse, Change)
    await hands.apply(start.inverse)
    assert await hands.ready("worker") == 0


async def test_nothing_that_runs_cannot_be_restarted(hands: Hands) -> None:
    with pytest.raises(Refused, match="can be restarted"):
        await hands.plan("worker", Verb.RESTART)


async def test_a_command_runs_in_the_place_of_the_workload(hands: Hands, shared: Supervisord) -> None:
    await hands.do("worker", Verb.SCALE, replicas=1)
    code = "import os; print(os.getcwd(), os.environ['QUEUE'], os.environ['SHARED'])"
    change = await hands.plan("worker", Verb.EXEC, argv=["python3", "-c", code])
    assert "QUEUE" not in str(change.effect["directory"])
    assert "hunter2" not in repr(change), "the environment never enters a plan"
    done = await hands.apply(change)
    assert done["exit"] == 0 and hands.out.text.endswith(done["stdout"])
    directory, *words = hands.out.text.split()[-4:]
    assert directory == str((shared.folder / "current").resolve())
    assert words == ["harvest", "a", "b,c"]


async def test_values_reach_a_command_by_its_environment_and_stand_in_no_argv(hands: Hands, tmp_path: Path) -> None:
    await hands.do("worker", Verb.SCALE, replicas=1)
    hands.out.text = ""
    (tmp_path / "token").write_text("open-5esame")
    script = 'echo "$GREETING/$TOKEN"; until [ -e "$END" ]; do sleep 0.05; done'
    change = await hands.plan(
        "worker", Verb.EXEC, argv=["sh", "-c", script], env={"GREETING": "hall0-there", "END": str(tmp_path / "end")},
        secrets={"TOKEN": f"file:{tmp_path}/token"},
    )  # fmt: skip
    assert "open-5esame" not in repr(change)
    task = asyncio.create_task(hands.apply(change, key="run/8/0"))
    try:
        await eventually(lambda: "hall0-there/open-5esame" in hands.out.text)
        shown = _arguments_of_all()
    finally:
        (tmp_path / "end").touch()
    assert (await task)["exit"] == 0
    assert [one for one in shown if "$GREETING" in one], "the command itself is among them"
    assert not [one for one in shown if "hall0-there" in one or "open-5esame" in one]


def _arguments_of_all() -> list[str]:
    """What everybody on this host can read of every process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


async def test_a_command_is_never_read_by_a_shell(hands: Hands) -> None:
    await hands.do("worker", Verb.SCALE, replicas=1)
    hands.out.text = ""
    await hands.do("worker", Verb.EXEC, argv=["echo", "$(id); `id`"])
    assert hands.out.text == "$(id); `id`\n"


async def test_a_command_that_fails_or_hangs_is_told(hands: Hands) -> None:
    await hands.do("worker", Verb.SCALE, replicas=1)
    with pytest.raises(CommandFailed, match="ended with 3"):
        await hands.do("worker", Verb.EXEC, argv=["sh", "-c", "exit 3"])
    with pytest.raises(CommandUnended, match="was ended"):
        await hands.do("worker", Verb.EXEC, argv=["sleep", "600"], timeout=0.5)
    with pytest.raises(OpsbookError, match="No such file"):
        await hands.do("worker", Verb.EXEC, argv=["/does/not/exist"])


async def test_what_still_carries_the_key_is_ended_with_its_children(hands: Hands) -> None:
    await hands.do("worker", Verb.SCALE, replicas=1)
    change = await hands.plan("worker", Verb.EXEC, argv=["sh", "-c", "trap '' TERM; sleep 601 & sleep 602; true"])
    task = asyncio.create_task(hands.apply(change, key="run/7/0"))
    await eventually(lambda: len(_carriers("run/7/0")) >= 3)
    async with opened_again(hands) as others:
        assert await others.executor.end("run/7/0", change)
    assert _carriers("run/7/0") == []
    with pytest.raises(CommandUnended):
        await task


async def test_a_process_killed_meanwhile_does_not_stop_a_scale(hands: Hands) -> None:
    await hands.do("worker", Verb.SCALE, replicas=2)
    change = await hands.plan("worker", Verb.SCALE, replicas=3)
    os.kill((await hands.pids("worker"))["worker_00"], signal.SIGKILL)
    await hands.apply(change)
    deadline = asyncio.get_running_loop().time() + 10
    while await hands.ready("worker") != 3:
        assert asyncio.get_running_loop().time() < deadline, "three processes never ran"
        await asyncio.sleep(0.05)


async def test_what_is_not_told_cannot_be_done(shared: Supervisord) -> None:
    url = f"unix://ops:s3cret-word@{shared.socket}"
    async with opened(shared, url=url.replace("ops:s3cret-word@", "")) as hands:
        with pytest.raises(OpsbookError, match="refuses the user name"):
            await hands.runtime.list()
    async with opened(shared, config=str(shared.config), releases="", current="") as hands:
        assert "deploy" not in hands.runtime.capabilities
        with pytest.raises(Unsupported) as caught:
            await hands.plan("worker", Verb.DEPLOY, version="1.1.0")
        assert "releases" in caught.value.hint


async def test_slots_that_changed_void_a_plan(hands: Hands) -> None:
    change = await hands.plan("worker", Verb.SCALE, replicas=2)
    other = Change(change.kind, change.effect, guard={"slots": ["worker_00"]})
    with pytest.raises(Refused, match="not those of the plan"):
        await hands.apply(other)
    assert await hands.ready("worker") == 0


def test_the_socket_of_the_tests_is_a_real_one(shared: Supervisord) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(shared.socket))
