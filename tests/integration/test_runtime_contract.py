"""One contract over all runtimes: the same words, the same states, the same refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from opsbook.connectors.runtimes.contract import CRASHED, LogQuery, Verb
from opsbook.errors import Absent, OpsbookError, Refused, UsageError
from tests.integration.hands import Hands, hands_of
from tests.integration.on_runtimes import on_each
from tests.integration.runtime_contract import SUBJECTS, Subject
from tests.integration.servers import own_folder

pytestmark = pytest.mark.real
subject = on_each(SUBJECTS)


@pytest.fixture
async def hands(subject: Subject) -> AsyncIterator[Hands]:
    async with hands_of(subject.system) as one:
        yield one


@pytest.fixture
def folder(subject: Subject) -> Iterator[str]:
    """A folder that every instance has: on one host that of the test, in containers one of their own."""
    if subject.shares_versions:
        with own_folder("copies") as one:
            yield str(one)
    else:
        yield "/tmp"


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Returns once the condition holds; fails after the deadline."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  asking is all that can be done
            await asyncio.sleep(0.1)


async def names(hands: Hands, workload: str = "worker") -> set[str]:
    return {one.name for one in (await hands.connections.runtime.status(workload)).instances if one.ready}


async def test_it_starts_restarts_scales_and_stops_a_workload(hands: Hands, subject: Subject) -> None:
    runtime = hands.connections.runtime
    (start,) = await hands.plan("workload.start", of="worker")
    assert (await runtime.status("worker")).workload.ready == 0, "planning changes nothing"
    await hands.apply(start)
    status = await runtime.status("worker")
    assert (status.workload.ready, status.version) == (2, subject.first)
    assert all(one.started and one.started.tzinfo for one in status.instances if one.ready)
    await hands.apply(start)
    assert await names(hands) == {one.name for one in status.instances if one.ready}, "what runs is left alone"

    (scale,) = await hands.plan("workload.scale", of="worker", replicas=3)
    await hands.apply(scale)
    assert len(await names(hands)) == 3
    await hands.undo(scale)
    assert len(await names(hands)) == 2

    before = {(one.name, one.pid, one.started) for one in (await runtime.status("worker")).instances if one.ready}
    (restart,) = await hands.plan("workload.restart", of="worker")
    assert isinstance(restart.inverse, str)
    await hands.apply(restart)
    after = {(one.name, one.pid, one.started) for one in (await runtime.status("worker")).instances if one.ready}
    assert len(after) == 2
    assert not before & after, "every instance is a new one"

    (stop,) = await hands.plan("workload.stop", of="worker")
    await hands.apply(stop)
    assert await names(hands) == set()
    await hands.undo(stop)
    assert len(await names(hands)) == 2


async def test_it_brings_a_version_and_takes_it_back(hands: Hands, subject: Subject) -> None:
    runtime = hands.connections.runtime
    await hands.do("workload.start", of="worker")
    (deploy,) = await hands.plan("workload.deploy", of="worker", version=subject.second)
    assert (await runtime.status("worker")).version == subject.first, "planning changes nothing"
    await hands.apply(deploy)
    await hands.apply(deploy)
    assert (await runtime.status("worker")).version == subject.second
    revisions = await runtime.revisions("worker")
    assert [one.version for one in revisions if one.current] == [subject.second]
    assert {subject.first, subject.second} <= {one.version for one in revisions}
    (again,) = await hands.plan("workload.deploy", of="worker", version=subject.second)
    assert again.effect == deploy.effect, "the wanted state is the same"

    await hands.do("workload.rollback", of="worker")
    assert (await runtime.status("worker")).version == subject.first
    await hands.undo(deploy)
    assert (await runtime.status("worker")).version == subject.first, "what is undone stays undone"
    await hands.do("workload.rollback", of="worker", version=subject.second)
    await hands.undo(deploy)
    assert (await runtime.status("worker")).version == subject.first


async def test_it_tells_what_a_workload_is(hands: Hands) -> None:
    runtime = hands.connections.runtime
    await hands.do("workload.start", of="worker")
    assert {"worker", "crasher"} <= {one.name for one in await runtime.list()}
    assert (await runtime.environment("worker"))["QUEUE"] == "harvest"

    async def measured() -> bool:
        try:
            return (await runtime.resources("worker")).memory > 1_000_000
        except OpsbookError:
            return False

    await eventually(measured)
    usage = await runtime.resources("worker")
    assert usage.cpu >= 0
    assert usage.memory_limit and usage.memory_limit > usage.memory


async def test_it_merges_the_logs_of_all_instances(hands: Hands, subject: Subject) -> None:
    runtime = hands.connections.runtime
    await hands.do("workload.start", of="worker")
    ready = await names(hands)

    async def said(query: LogQuery) -> list[str]:
        return [line.text async for line in runtime.logs("worker", query)]

    async def all_started() -> bool:
        found = {line.instance async for line in runtime.logs("worker", LogQuery(tail=50, contains="started"))}
        return ready <= found

    await eventually(all_started)
    lines = [line async for line in runtime.logs("worker", LogQuery(tail=None, contains="started"))]
    times = [line.at for line in lines if line.at]
    assert times == sorted(times)
    assert all("started" in line.text for line in lines)
    assert len(await said(LogQuery(tail=1))) == 1
    assert await said(LogQuery(tail=None, since=datetime.now(UTC) + timedelta(hours=1))) == []
    assert await said(LogQuery(contains="never written")) == []

    follower = runtime.logs("worker", LogQuery(tail=0, follow=True, contains="started"))
    following = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0.5)
    await hands.do("workload.restart", of="worker")
    line = await asyncio.wait_for(following, 30)
    assert f"started {subject.first}" in line.text
    await follower.aclose()  # type: ignore[attr-defined]


async def test_it_tells_why_an_instance_is_not_ready_and_that_it_crashed(hands: Hands) -> None:
    runtime = hands.connections.runtime
    with pytest.raises(OpsbookError, match="crasher"):
        await hands.apply(await hands.only("workload.start", of="crasher", wait=3))
    status = await runtime.status("crasher")
    assert status.workload.ready == 0
    assert all(one.reason and not one.ready for one in status.instances)

    async def crashed() -> bool:
        return CRASHED in [event.kind async for event in runtime.events("crasher")]

    await eventually(crashed)


async def test_it_runs_a_command_without_a_shell(hands: Hands) -> None:
    await hands.do("workload.start", of="worker")
    argv = [
        "python3",
        "-S",
        "-c",
        "import os, sys; print(os.environ['QUEUE'], os.environ['MORE'], sys.argv[1])",
        "$HOME; ls",
    ]
    (change,) = await hands.plan("workload.exec", of="worker", argv=argv, env={"MORE": "a b"})
    assert (await hands.apply(change))["stdout"].strip() == "harvest a b $HOME; ls"
    assert "harvest a b $HOME; ls" in hands.out.text
    assert await hands.verify("workload.exec", change) == "unknown", "what it did nobody can tell"
    with pytest.raises(OpsbookError, match="ended with 3"):
        await hands.do("workload.exec", of="worker", argv=["python3", "-S", "-c", "raise SystemExit(3)"])
    with pytest.raises(OpsbookError, match="does-not-exist"):
        await hands.do("workload.exec", of="worker", argv=["does-not-exist"])
    with pytest.raises(OpsbookError, match="was ended"):
        await hands.do("workload.exec", of="worker", argv=["sleep", "300.25"], timeout=1)
    (sleeping,) = await hands.plan("workload.exec", of="worker", argv=["sleep", "300.25"])
    assert await hands.end(sleeping), "nothing of it runs any more"


async def test_it_copies_a_file_in_and_takes_it_back(hands: Hands, subject: Subject, folder: str) -> None:
    await hands.do("workload.start", of="worker")
    local = subject.system.folder / "settings.bin"
    local.write_bytes(b"confidential\0two\n" * 20_000)
    path = f"{folder}/it's $HOME; \u00fcber.bin"
    (first, *others) = await hands.plan("workload.copy", of="worker", path=path, file="settings.bin", mode="0640")
    assert all("confidential" not in str(change) for change in (first, *others)), (
        "the plan has its digest, not its content"
    )
    assert (await hands.apply(first))["did"] == "written"
    assert (await hands.apply(first))["did"] == "it is so already", "twice is once"
    assert await hands.verify("workload.copy", first) == "unknown"

    (again, *_) = await hands.plan("workload.copy", of="worker", path=path, content="second\n", mode="0600")
    await hands.apply(again)
    into = subject.system.folder / "fetched.bin"
    instance = again.effect["instance"]
    got = await hands.do("workload.fetch", of="worker", path=path, to=str(into), instance=instance)
    assert (into.read_bytes(), into.stat().st_mode & 0o777, got["files"]) == (b"second\n", 0o640, 1), (
        "it keeps its mode"
    )
    with pytest.raises(Refused, match="changed since this was planned"):
        await hands.undo(first)
    await hands.undo(again)
    with pytest.raises(Refused, match="is there already, and differs"):
        await hands.do("workload.fetch", of="worker", path=path, to=str(into), instance=instance)
    await hands.do("workload.fetch", of="worker", path=path, to=str(into), instance=instance, overwrite=True)
    assert into.read_bytes() == local.read_bytes(), "what was there before is there again"
    await hands.undo(first)
    await hands.undo(first)
    with pytest.raises(Refused, match="there is no"):
        await hands.plan("workload.fetch", of="worker", path=path, to="nothing", instance=instance)
    assert not [one for one in subject.system.folder.iterdir() if one.name.endswith(".part")]


async def test_it_fetches_a_folder_without_what_leads_out_of_it(hands: Hands, subject: Subject, folder: str) -> None:
    await hands.do("workload.start", of="worker")
    make = (
        "mkdir -p $0/tree/below && cd $0/tree && echo kept > below/a && ln -s below/a near && ln -s /etc/passwd far"
        " && ln -s ../../../../etc/passwd out && mkfifo pipe && ln below/a second"
    )
    (change,) = await hands.plan("workload.exec", of="worker", argv=["sh", "-c", make, folder])
    made = await hands.apply(change)
    instance = made.get("pod") or made.get("container") or ""
    got = await hands.do("workload.fetch", of="worker", path=f"{folder}/tree", to="tree", instance=instance)
    tree = subject.system.folder / "tree"
    assert (tree / "near").read_text() == (tree / "second").read_text() == "kept\n"
    assert sorted(one.name for one in tree.iterdir()) == ["below", "near", "second"]
    assert len(got["left_out"]) == 3
    again = await hands.do("workload.fetch", of="worker", path=f"{folder}/tree", to="tree", instance=instance)
    assert again["digest"] == got["digest"], "what is there already and is the same stays"
    with pytest.raises(OpsbookError, match="larger than 3 bytes"):
        await hands.do("workload.fetch", of="worker", path=f"{folder}/tree", to="small", instance=instance, most="3B")
    assert not (subject.system.folder / "small").exists()
    with pytest.raises(Refused, match="is a folder"):
        await hands.plan("workload.copy", of="worker", path=f"{folder}/tree", content="x", instance=instance)
    with pytest.raises(Refused, match="has no folder"):
        await hands.plan("workload.copy", of="worker", path=f"{folder}/no/such/file", content="x", instance=instance)
    with pytest.raises(Refused, match="write it in full"):
        await hands.plan("workload.copy", of="worker", path="../etc/passwd", content="x")


async def test_it_refuses_what_it_cannot_do(hands: Hands) -> None:
    runtime = hands.connections.runtime
    with pytest.raises(Absent, match="nowhere"):
        await runtime.status("nowhere")
    with pytest.raises(Absent, match="nowhere"):
        await hands.plan("workload.stop", of="nowhere")
    with pytest.raises(UsageError, match="scale of worker"):
        await runtime.change("worker", Verb.SCALE, {"replicas": -1})
    await hands.do("workload.stop", of="worker")
    with pytest.raises(Refused, match="restarted"):
        await hands.plan("workload.restart", of="worker")
