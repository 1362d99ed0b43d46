"""A container beside a workload that is stopped: the same on compose and in a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from opsbook.connectors.runtimes.beside import Beside, Inside, as_owner, beside, end_beside, end_within, within
from opsbook.connectors.runtimes.contract import Runtime
from opsbook.errors import Refused
from tests.integration.cluster import BEAT, Cluster, needs_kubernetes, new_namespace, workload
from tests.integration.cluster import python as in_pod
from tests.integration.hands import Hands, Out, hands_of
from tests.integration.podman import Podman, lacking, new_podman
from tests.integration.podman import python as in_container
from tests.integration.servers import own_folder

pytestmark = pytest.mark.real
SERVES = "import http.server; http.server.HTTPServer(('', 8099), http.server.SimpleHTTPRequestHandler).serve_forever()"
DB: dict[str, dict[str, Any]] = {"db": {"kind": "workload"}}


async def lives(runtime: Runtime) -> None:
    """The whole life of one, of a second that wants its place, and of one that was left behind."""
    out = Out()
    wanted = Beside("db-beside", "run/1", "db", 300, (8099,))
    async with beside(runtime, wanted, out) as inside:
        with pytest.raises(Refused, match="under way already"):
            async with beside(runtime, Beside("db-beside", "run/2", "db", 300), out):
                pass
        said = await inside.run(["sh", "-c", 'echo "$WORD"; cat; echo bad >&2; exit 3'], seconds=30, stdin=b"in",
                                env={"WORD": "a b"})  # fmt: skip
        assert (said.code, said.out, said.err) == (3, "a b\nin", "bad\n")
        assert (await inside.run(["no-such-program"], seconds=30)).code in (None, 127)

        await inside.run(["install", "-d", "-o", "1234", "-g", "1234", "/data/own"], seconds=30)
        await inside.put("/data/own/word", b"secret" * 20_000, (1234, 1234))
        await inside.put("/data/own/empty", b"")
        seen = await inside.run(["stat", "-c", "%a %u %s", "/data/own/word", "/data/own/empty"], seconds=30)
        assert seen.out == "600 1234 120000\n600 0 0\n"
        assert (await inside.run(as_owner("/data/own", ["id", "-u"]), seconds=30)).out == "1234\n"

        endless = ["sh", "-c", "sleep 77.5 & wait"]
        for argv in (endless, as_owner("/data/own", endless)):
            late = await inside.run(argv, seconds=1)
            assert late.code is None and "was ended" in late.trouble
            assert "sleep 77.5" not in await all_commands(inside)

        serving = asyncio.ensure_future(inside.run(["python3", "-S", "-c", SERVES], seconds=120))
        host, port = await inside.address(8099)
        assert host == "127.0.0.1" and b"200" in await answer(host, port)

        # Who comes again with the key, as after a crash, has what ran in the one before ended.
        async with beside(runtime, wanted, out) as again:
            assert (await serving).code != 0
            kept = await again.run(["cat", "/data/own/word"], seconds=30)
            assert len(kept.out) == 120_000
            assert await end_beside(runtime, "db-beside", "run/9"), "not its key: it stays"
            assert (await again.run(["true"], seconds=30)).code == 0
            assert await end_beside(runtime, "db-beside", "run/1")
            assert (await again.run(["true"], seconds=30)).code is None


async def ends(hands: Hands) -> None:
    """In a container of the workload itself, who comes after a crash ends what runs there as another user."""
    await hands.do("workload.start", of="db")
    runtime = hands.connections.runtime
    inside = await within(runtime, "db", "run/3")
    running = asyncio.ensure_future(inside.run(as_owner("/data/own", ["sleep", "78.5"]), seconds=120))
    async with asyncio.timeout(60):
        while "sleep 78.5" not in await all_commands(inside):  # noqa: ASYNC110  only the container knows
            await asyncio.sleep(0.1)
    assert await end_within(runtime, "db", "run/4"), "nothing of that one runs"
    assert "sleep 78.5" in await all_commands(inside)
    assert await end_within(runtime, "db", "run/3")
    assert "sleep 78.5" not in await all_commands(inside) and (await running).code != 0


async def all_commands(inside: Inside) -> str:
    return (await inside.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"], seconds=30)).out


async def answer(host: str, port: int) -> bytes:
    async with asyncio.timeout(60):
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"HEAD / HTTP/1.0\r\n\r\n")
                got = await reader.read(100)
                writer.close()
                if got:
                    return got
            except OSError:
                pass
            await asyncio.sleep(0.2)


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    with new_podman("1") as one:
        one.write({"db": in_container(BEAT, volumes=["/usr:/usr:ro", "data:/data"])}, volumes={"data": {}})
        yield one


@pytest.mark.skipif(bool(lacking()), reason=lacking() or "podman")
async def test_a_container_beside_a_service_that_is_stopped(engine: Podman) -> None:
    async with hands_of(engine.system(DB)) as hands:
        await hands.do("workload.start", of="db")
        await hands.do("workload.stop", of="db")
        await lives(hands.connections.runtime)
        await ends(hands)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_folder("beside") as folder:
        stateful = workload(
            "StatefulSet", "db", in_pod("db", BEAT, volumeMounts=[{"name": "data", "mountPath": "/data"}]), replicas=0,
            serviceName="db", pod={"volumes": [{"name": "data", "hostPath": {"path": str(folder)}}]},
        )  # fmt: skip
        with new_namespace(stateful) as one:
            yield one


@needs_kubernetes
@pytest.mark.xdist_group("kubernetes")
async def test_a_pod_beside_a_workload_that_is_scaled_to_none(cluster: Cluster) -> None:
    async with hands_of(cluster.system(DB)) as hands:
        await lives(hands.connections.runtime)
        await ends(hands)
