"""Pods from within: files in and out of poor images, and what a command says whose pod is taken away under it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.book.references import SecretReference
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.inside.files import LARGEST, copy_from
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_exec import CommandLost
from opsbook.errors import Refused
from tests.integration.cluster import (
    AUDIT,
    BEAT,
    Cluster,
    deployment,
    new_namespace,
    on_cluster,
    python,
    size_of_audit,
)
from tests.integration.hands import Hands, hands_of
from tests.integration.renec_book import OPSBOOK

pytestmark = on_cluster("parts")

WAITS = "import time; time.sleep(100000)"
"""Does not end when it is told to: whoever takes its pod waits for its grace."""
COMPONENTS: dict[str, dict[str, Any]] = {name: {"kind": "workload"} for name in ("web", "poor", "stubborn")}
SLEEPS = ["sh", "-c", "touch /tmp/begun; echo begun; sleep 300.75; touch /tmp/ended"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with new_namespace(
        *(deployment(name, python(name, BEAT)) for name in ("web", "poor")),
        deployment("stubborn", python("stubborn", WAITS), pod={"terminationGracePeriodSeconds": 4}),
    ) as one:
        yield one


@pytest.fixture
async def hands(cluster: Cluster) -> AsyncIterator[Hands]:
    async with hands_of(cluster.system(COMPONENTS)) as one:
        for name in COMPONENTS:
            await one.do("workload.start", of=name)
        yield one


async def pod_of(hands: Hands, workload: str) -> str:
    return next(one.name for one in (await hands.connections.runtime.status(workload)).instances if one.ready)


async def evicted(hands: Hands, pod: str) -> None:
    """As a drain, or the autoscaler of nodes, takes a pod away."""
    runtime = hands.connections.runtime
    assert isinstance(runtime, Kubernetes)
    eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": pod}}
    await runtime.api.post(runtime.namespace.core("pods", pod, "eviction"), eviction)


async def said(hands: Hands, word: str) -> None:
    async with asyncio.timeout(60):
        while word not in hands.out.text:  # noqa: ASYNC110  what a command prints is only seen by looking
            await asyncio.sleep(0.1)


async def test_an_image_with_little_in_it_gives_and_takes_what_it_can(hands: Hands) -> None:
    async def sh(script: str) -> str:
        return str((await hands.do("workload.exec", of="poor", argv=["sh", "-c", script]))["stdout"])

    await sh("cp /bin/true /tmp/true; rm -f /usr/bin/tar /usr/bin/sha256sum; mkdir -p /tmp/tree; echo old > /tmp/one")
    (change,) = await hands.plan("workload.copy", of="poor", path="/tmp/one", content="new\n")
    assert change.guard["state"] == change.inverse.effect["previous"], "its digest was made here"  # type: ignore[union-attr]
    await hands.apply(change)
    assert await sh("cat /tmp/one") == "new\n"
    await hands.do("workload.fetch", of="poor", path="/tmp/one", to="one")
    assert (hands.facts.system.folder / "one").read_text() == "new\n"
    with pytest.raises(ChangeFailed, match="the image of poor has no tar: a folder is not read without"):
        await hands.do("workload.fetch", of="poor", path="/tmp/tree", to="tree")
    await sh("rm -f /usr/bin/sh /usr/bin/dash /usr/bin/bash")
    with pytest.raises(Exception, match="the image of poor has no sh"):
        await hands.plan("workload.copy", of="poor", path="/tmp/one", content="newer")
    with pytest.raises(ReadFailed, match="nothing can be read out of it"):
        async for _ in copy_from(hands.connections.runtime, "poor", "/tmp/one"):
            pass


async def test_large_files_go_whole_and_too_large_ones_not_at_all(hands: Hands, tmp_path: Path) -> None:
    source, back = tmp_path / "large", hands.facts.system.folder / "back"
    source.write_bytes(bytes(range(256)) * 40_000)
    await hands.do("workload.copy", of="web", path="/tmp/large", file=str(source))
    await hands.do("workload.fetch", of="web", path="/tmp/large", to=str(back))
    assert back.read_bytes() == source.read_bytes()
    with source.open("ab") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(Refused, match="more than the 50,000,000 that are copied"):
        await hands.plan("workload.copy", of="web", path="/tmp/large", file=str(source))


async def test_a_secret_is_in_no_plan_and_no_audit_log(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "word-that-nobody-may-read"
    since = size_of_audit() if AUDIT else 0
    monkeypatch.setenv("COPIED_WORD", secret)
    (change,) = await hands.plan("workload.copy", of="web", path="/tmp/word", content=SecretReference("${COPIED_WORD}"))
    assert "digest" not in change.effect and secret not in str(change), "a digest helps to guess it"
    assert secret not in str(await hands.apply(change)) and secret not in hands.out.text
    look = await hands.do("workload.exec", of="web", argv=["sh", "-c", "cat /tmp/word; stat -c ' %a' /tmp/word"])
    assert look["stdout"].strip() == f"{secret} 600"
    if AUDIT:
        with open(AUDIT) as log:  # noqa: ASYNC230
            log.seek(since)
            assert secret not in log.read()
    await hands.undo(change)


async def test_what_moves_between_plan_and_copy_is_refused(hands: Hands, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    (change,) = await hands.plan("workload.copy", of="web", path="/tmp/moved", file=str(source))
    source.write_text("two")
    with pytest.raises(Refused, match="source has changed since this was planned"):
        await hands.apply(change)
    (change,) = await hands.plan("workload.copy", of="web", path="/tmp/moved", content="mine")
    await hands.do("workload.exec", of="web", argv=["sh", "-c", "echo theirs > /tmp/moved"])
    with pytest.raises(Refused, match="/tmp/moved has changed since this was planned"):
        await hands.apply(change)
    left = await hands.do("workload.exec", of="web", argv=["sh", "-c", "cat /tmp/moved; ls -A /tmp"])
    assert left["stdout"].startswith("theirs") and ".new" not in left["stdout"]

    (change,) = await hands.plan("workload.copy", of="web", path="/tmp/late", content="x")
    await evicted(hands, change.effect["instance"])
    with pytest.raises(ChangeFailed, match=r"is gone|no pod of web runs"):
        async with asyncio.timeout(90):
            while True:
                await hands.apply(change)  # until its pod has ended
                await asyncio.sleep(0.2)
    assert await hands.end(change)


@pytest.mark.parametrize("workload", ["web", "stubborn"])
async def test_a_command_whose_pod_is_evicted_ends_and_says_so(hands: Hands, workload: str) -> None:
    (change,) = await hands.plan("workload.exec", of=workload, argv=SLEEPS, timeout=240)
    running = asyncio.ensure_future(hands.apply(change))
    await said(hands, "begun")
    before = await pod_of(hands, workload)
    await evicted(hands, before)
    with pytest.raises(CommandLost, match=f"{before} was cut off: its pod was taken away meanwhile"):
        await asyncio.wait_for(running, 60)
    assert await hands.end(change), "nothing of it runs any more"
    assert await hands.verify("workload.exec", change) == "unknown"


async def test_a_run_whose_pod_is_evicted_waits_for_a_person_and_runs_nothing_twice(
    hands: Hands, cluster: Cluster, tmp_path: Path
) -> None:
    runtime = {"kind": "kubernetes", "namespace": cluster.namespace}
    book = {"opsbook": 1, "system": "inside", "environments": {"test": {"policy": "open", "runtime": runtime}},
            "components": COMPONENTS}  # fmt: skip
    (tmp_path / "book.yaml").write_text(yaml.safe_dump(book))
    (tmp_path / "procedures").mkdir()
    step = f"workload.exec: {{of: web, argv: {json.dumps(SLEEPS)}}}"
    text = f"---\ntitle: Long work\n---\n1. It works.\n   ```op id=work timeout=5m retry=3\n   {step}\n   ```\n"
    (tmp_path / "procedures" / "work.md").write_text(text)
    argv = [str(OPSBOOK), "run", "work", "--yes", "--format", "json", "--book", str(tmp_path)]
    run = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        pod = await begun_in(hands, "web")
        await evicted(hands, pod)
        out, errors = await asyncio.wait_for(run.communicate(), 120)
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
    assert run.returncode == 5, errors.decode()
    view = json.loads(out)
    assert view["state"] == "ambiguous"
    assert f"the command in {pod} was cut off: its pod was taken away meanwhile" in view["message"]
    await hands.do("workload.start", of="web")
    look = await hands.do("workload.exec", of="web", argv=["sh", "-c", "ls /tmp; cat /proc/[0-9]*/cmdline"])
    assert "begun" not in look["stdout"] and "300.75" not in look["stdout"].replace("\0", " "), "it was not run again"


async def begun_in(hands: Hands, workload: str) -> str:
    """The pod in which the work has begun."""
    async with asyncio.timeout(90):
        while True:
            pod = await pod_of(hands, workload)
            runtime = hands.connections.runtime
            assert isinstance(runtime, Kubernetes)
            (seen,) = await runtime.look_inside(workload, ["ls", "/tmp"], 10, instances=[pod], every=True)
            if "begun" in seen.said:
                return pod
            await asyncio.sleep(0.2)
