"""What supervisor tells of its workloads."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opsbook.connectors.contract import Failure
from opsbook.connectors.registry import OpenConnections, open_connections
from opsbook.connectors.runtimes.contract import LogQuery, Runtime, Unsupported
from opsbook.connectors.runtimes.supervisor import Supervisor
from opsbook.connectors.runtimes.supervisor_rpc import SupervisorFault
from opsbook.errors import Unreachable, UsageError
from tests.integration.eventually import eventually
from tests.integration.servers import ask
from tests.integration.supervisord import Supervisord, new_supervisord

pytestmark = pytest.mark.real

COMPONENTS: dict[str, dict[str, Any]] = {
    "worker": {"kind": "workload", "replicas": 2, "env": ["QUEUE", "SHARED", "EMPTY", "NOWHERE"]},
    "crasher": {"kind": "workload"},
    "api": {"kind": "http", "url": "http://127.0.0.1:1", "workload": "single"},
    "nobody": {"kind": "workload"},
    "chatty": {"kind": "workload"},
}
CHATTY = """\
import sys, time, datetime
now = datetime.datetime.now()
old = now - datetime.timedelta(hours=2)
print(f"{old:%Y-%m-%d %H:%M:%S},000 ERROR old trouble", flush=True)
print(f"{now:%Y-%m-%d %H:%M:%S},100 INFO all is well", flush=True)
print(f"{now:%Y-%m-%d %H:%M:%S},200 ERROR job failed: psycopg.OperationalError: no route", flush=True)
sys.stderr.write(f"{now:%Y-%m-%d %H:%M:%S},150 CRITICAL \\x1b[31mred\\x1b[0m \\x00 <tag> & more\\n")
sys.stderr.flush()
n = 0
while True:
    n += 1
    print(f"tick {n}", flush=True)
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Supervisord]:
    with new_supervisord() as one:
        yield one


@asynccontextmanager
async def opened(server: Supervisord, **runtime: str) -> AsyncIterator[OpenConnections]:
    async with open_connections(server.system(COMPONENTS, **runtime)) as connections:
        yield connections


async def tell(server: Supervisord, method: str, *arguments: Any) -> None:
    async with opened(server) as connections:
        runtime = connections.runtime
        assert isinstance(runtime, Supervisor)
        await runtime.tell(method, *arguments)


async def test_it_is_the_runtime_of_the_contract(server: Supervisord) -> None:
    async with opened(server) as connections:
        assert isinstance(connections.runtime, Runtime)
        assert {"scale", "deploy", "exec", "logs"} <= connections.runtime.capabilities
        workloads = {one.name: one for one in await connections.runtime.list()}
    assert workloads["web"].kind == "fcgi-program"
    assert workloads["extra"].kind == "program", "from an included file"
    assert workloads["worker"].wanted is None, "only the book can say how many of the slots are wanted"


async def test_it_counts_ready_and_missing_instances(server: Supervisord) -> None:
    await tell(server, "startProcess", "worker:worker_00", True)
    async with opened(server) as connections:
        up, ready, missing, uptime, version = await ask(
            connections,
            "worker",
            "workload.up",
            "workload.ready",
            "workload.missing",
            "workload.uptime",
            "workload.version",
        )
        (none,) = await ask(connections, "api", "workload.up")
    assert (up.value, ready.value, missing.value) == (True, 1.0, 1.0)
    assert missing.message == "1 of 2 ready"
    assert 0 <= uptime.value < 60
    assert version.value == "1.0.0"
    assert none.value is False


async def test_it_says_why_a_process_is_not_ready(server: Supervisord) -> None:
    async with opened(server) as connections:
        runtime = connections.runtime
        with suppress(SupervisorFault):  # it may be gone before supervisord has answered, or have been started already
            await tell(server, "startProcess", "crasher:crasher", False)
        states: list[str] = []

        async def state() -> str:
            await asyncio.sleep(0.25)
            (one,) = (await runtime.status("crasher")).instances
            states.append(one.reason)
            return one.state

        async with asyncio.timeout(20):
            while await state() != "FATAL":
                pass
        (missing,) = await ask(connections, "crasher", "workload.missing")
        (restarts,) = await ask(connections, "crasher", "workload.restarts")
    assert missing.value == 1
    assert "gave up starting it: Exited too quickly" in missing.message
    assert restarts.value >= 2
    assert "not expected" in restarts.detail[0]["message"]


async def test_it_reads_logs_of_both_outputs_by_time_and_counts_errors() -> None:
    with new_supervisord() as server:
        (server.folder / "chatty.py").write_text(CHATTY)
        (server.folder / "more.conf").write_text(server.section("chatty", "chatty.py"))
        async with opened(server) as connections:
            runtime = connections.runtime
            assert isinstance(runtime, Supervisor)
            await runtime.tell("reloadConfig")
            await runtime.tell("addProcessGroup", "chatty")
            await runtime.tell("startProcess", "chatty:chatty", True)
            log = server.folder / "logs" / "chatty.log"
            await eventually(lambda: log.exists() and "tick 3" in log.read_text())
            hour = datetime.now(UTC) - timedelta(hours=1)
            lines = [line.text async for line in runtime.logs("chatty", LogQuery(tail=None, since=hour))]
            assert [line.split()[2] for line in lines[:3]] == ["INFO", "CRITICAL", "ERROR"]
            assert "old trouble" not in "".join(lines)
            ticks = [line.text async for line in runtime.logs("chatty", LogQuery(tail=2, contains="tick"))]
            assert len(ticks) == 2
            errors, age = await ask(connections, "chatty", "workload.log_errors", "workload.log_age")
            assert errors.value == 2
            assert errors.detail["by_type"] == {"CRITICAL": 1, "OperationalError": 1}
            assert 0 <= age.value < 60
            seen = []
            async with asyncio.timeout(10):
                async for line in runtime.logs("chatty", LogQuery(tail=1, follow=True)):
                    seen.append(line.text)
                    if len(seen) == 4:
                        break
            numbers = [int(text.split()[1]) for text in seen]
            assert numbers == list(range(numbers[0], numbers[0] + 4)), "nothing twice, nothing left out"


async def test_it_names_missing_variables_and_never_their_values(server: Supervisord) -> None:
    await tell(server, "startProcess", "worker:worker_01", True)
    async with opened(server) as connections:
        (reading,) = await ask(connections, "worker", "environment.missing")
    assert reading.value == 2
    assert reading.detail == {"missing": ["EMPTY", "NOWHERE"], "set": ["QUEUE", "SHARED"]}
    assert "harvest" not in repr(reading)
    assert "hunter2" not in repr(reading)


async def test_it_knows_the_environment_of_what_does_not_run(server: Supervisord) -> None:
    async with opened(server) as connections:
        found = await connections.runtime.environment("extra")
    assert found["SHARED"] == "a b,c"
    assert found["OWN_SECRET"] == "hunter2"


async def test_it_measures_what_a_workload_uses(server: Supervisord) -> None:
    await tell(server, "startProcess", "single:single", True)
    async with opened(server) as connections:
        cpu, memory, ratio, limited = await ask(
            connections, "api", "workload.cpu", "workload.memory", "workload.memory_ratio",
            ("workload.memory_ratio", {"limit": "10MB"}),
        )  # fmt: skip
    assert 0 <= cpu.value < 0.5
    assert 1e6 < memory.value < 1e8
    assert 0 < ratio.value < 0.05
    assert limited.value == pytest.approx(memory.value / 10e6, rel=0.05)


async def test_an_unknown_workload_is_no_workload_that_is_well(server: Supervisord) -> None:
    async with opened(server) as connections:
        for reading in await ask(connections, "nobody", "workload.up", "workload.missing", "workload.log_errors"):
            assert reading.value is None
            assert reading.failure is Failure.FAILED
            assert "holds no workload named 'nobody'" in reading.message


async def test_a_killed_supervisord_is_unreachable_with_its_socket_and_the_next_step() -> None:
    with new_supervisord() as server:
        await tell(server, "startProcess", "single:single", True)
        async with opened(server) as connections:
            pids = [i.pid for i in (await connections.runtime.status("single")).instances if i.pid]
            server.kill(pids)
            await asyncio.sleep(0.3)
            (reading,) = await ask(connections, "api", "workload.up")
            assert reading.failure is Failure.UNREACHABLE
            assert str(server.socket) in reading.message
            with pytest.raises(Unreachable) as caught:
                await connections.runtime.list()
    assert "supervisord -c" in caught.value.hint


async def test_a_supervisord_that_hangs_is_cut() -> None:
    with new_supervisord() as server:
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            async with opened(server) as connections:
                (reading,) = await ask(connections, "worker", "workload.up", within=0.5)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
    assert reading.failure is Failure.TIMEOUT


async def test_it_talks_over_http_with_a_password() -> None:
    with new_supervisord() as server:
        server.stop()
        head = f"[inet_http_server]\nport = 127.0.0.1:{server.http_port}\nusername = ops\npassword = s3cret-word\n"
        server.write(head).start()
        async with opened(server, url=f"http://ops:s3cret-word@127.0.0.1:{server.http_port}") as connections:
            assert "worker" in {one.name for one in await connections.runtime.list()}
        async with opened(server, url=f"http://ops:wrong@127.0.0.1:{server.http_port}") as connections:
            with pytest.raises(Unreachable, match="refuses the user name") as caught:
                await connections.runtime.list()
    assert "wrong" not in str(caught.value)


async def test_names_of_strange_processes_are_only_names() -> None:
    odd = "[program:odd$(id);<x>&]\ncommand = " + sys.executable + " -S {0}/beat.py\nautostart = false\nstartsecs = 0\n"
    with new_supervisord() as server:
        server.stop()
        server.write(programs=odd.format(server.folder)).start()
        async with opened(server) as connections:
            runtime = connections.runtime
            assert isinstance(runtime, Supervisor)
            name = "odd$(id);<x>&"
            await runtime.tell("startProcess", f"{name}:{name}", True)
            status = await runtime.status(name)
            assert [i.state for i in status.instances] == ["RUNNING"]
            assert [e.kind async for e in runtime.events(name)][:1] == ["started"]


async def test_a_configuration_that_is_not_there_is_told(server: Supervisord) -> None:
    async with opened(server, config="absent.conf") as connections:
        with pytest.raises(Unreachable, match=r"absent\.conf: No such file"):
            await connections.runtime.list()
    async with opened(server, url="ftp://x") as connections:
        with pytest.raises(Unreachable, match="not an address"):
            await connections.runtime.list()
    async with opened(server, releases=str(server.folder)) as connections:
        with pytest.raises(UsageError):
            await connections.runtime.list()


async def test_what_is_not_of_this_host_is_refused(server: Supervisord) -> None:
    async with opened(server, url="http://ops:x@192.0.2.1:9001") as connections:
        assert not {"exec", "environment", "resources"} & connections.runtime.capabilities
        with pytest.raises(Unsupported, match="on this host"):
            await connections.runtime.environment("worker")
