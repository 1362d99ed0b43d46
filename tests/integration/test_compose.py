"""What is only so with compose: containers made of the file, one at a time, and what is refused."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from opsbook.connectors.runtimes.contract import Status, Unsupported
from opsbook.errors import Absent, OpsbookError, Refused, Unreachable
from tests.integration.hands import Hands, hands_of
from tests.integration.podman import Podman, lacking, new_podman, python
from tests.integration.servers import free_port

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("compose"),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]

BY_VERSION = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("serving", os.environ["APP_VERSION"], flush=True)
if os.environ["APP_VERSION"] == "broken":
    raise SystemExit("no such table: orders")
while True:
    time.sleep(0.2)
"""
SERVE = """\
import http.server, os, signal, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["APP_VERSION"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("", 8000), Answer)
server.daemon_threads = False
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
"""
PROXY = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  resolver {dns} valid=1s ipv6=off;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      set $service api;
      proxy_pass http://$service:8000;
      proxy_connect_timeout 1s;
    }}
  }}
}}
"""
CHECK = {"test": ["CMD", "true"], "interval": "1s"}
CONNECT = """python3 -S -c 'import socket; socket.create_connection(("127.0.0.1", 8000))' """
COMPONENTS = {name: {"kind": "workload"} for name in ("web", "api", "fixed", "sick", "strange", "needy", "told")}


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    with new_podman("1", "2", "broken") as one:
        port = free_port()
        (one.folder / "told.env").write_text("GREETING=good morning\n")
        one.write(
            {
                "web": python(
                    BY_VERSION, healthcheck=CHECK, scale=2, environment=["PASSWORD=${SHOP_PASSWORD:-hunter2}"]
                ),
                "api": python(
                    SERVE,
                    healthcheck={"test": CONNECT, "interval": "1s"},
                    deploy={"replicas": 2, "update_config": {"delay": "2500ms"}},
                ),
                "fixed": python(BY_VERSION, ports=[f"127.0.0.1:{port}:8000"]),
                "sick": python(
                    BY_VERSION, healthcheck={"test": "echo no disk; exit 1", "interval": "1s", "retries": 1}
                ),
                "told": python(BY_VERSION, env_file="told.env", scale=2),
                "strange": python(BY_VERSION, devices=["/dev/null:/dev/null"]),
                "needy": python(BY_VERSION, depends_on=["web"], network_mode="none"),
            }
        )
        yield one


@pytest.fixture
async def hands(engine: Podman) -> AsyncIterator[Hands]:
    async with hands_of(engine.system(COMPONENTS)) as one:
        yield one


async def status(hands: Hands, workload: str) -> Status:
    return await hands.connections.runtime.status(workload)


async def test_a_new_one_is_ready_before_an_old_one_goes(hands: Hands) -> None:
    await hands.do("workload.start", of="web")
    fewest = 9
    (deploy,) = await hands.plan("workload.deploy", of="web", version="2")
    assert "hunter2" not in json.dumps([deploy.effect, deploy.evidence, deploy.guard])
    rolling = asyncio.ensure_future(hands.apply(deploy))
    while not rolling.done():
        fewest = min(fewest, (await status(hands, "web")).workload.ready)
        await asyncio.sleep(0.1)
    await rolling
    assert fewest >= 2
    now = await status(hands, "web")
    assert (now.version, now.workload.ready, len(now.instances)) == ("2", 2, 2)

    with pytest.raises(OpsbookError, match="no such table: orders"):
        await hands.do("workload.deploy", of="web", version="broken")
    assert [one.name for one in (await status(hands, "web")).instances] == [one.name for one in now.instances]
    assert [one.version for one in await hands.connections.runtime.revisions("web") if one.current] == ["2"]
    with pytest.raises(Absent, match="no image localhost/base:never"):
        await hands.plan("workload.deploy", of="web", version="never")

    await hands.do("workload.scale", of="web", replicas=3)
    assert (await status(hands, "web")).version == "2", "a new container has the version that was deployed"


@pytest.fixture
def proxy(engine: Podman, tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Starts nginx before the service `api`, told by the names of the network who serves."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(dns: str) -> int:
        port = free_port()
        (tmp_path / "nginx.conf").write_text(PROXY.format(folder=tmp_path, port=port, dns=dns))
        argv = [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(tmp_path / "nginx.conf")]
        processes.append(subprocess.Popen(argv, stderr=subprocess.DEVNULL))
        return port

    yield start
    for one in processes:
        one.terminate()
        one.wait(10)


async def test_no_request_is_lost_behind_a_proxy(hands: Hands, engine: Podman, proxy: Callable[[str], int]) -> None:
    await hands.do("workload.start", of="api", wait=20)
    (one, *_) = await hands.connections.runtime.containers("api")  # type: ignore[attr-defined]
    url = f"http://127.0.0.1:{proxy(one.networks[f'{engine.project}_default']['Gateway'])}/"
    said: list[str] = []
    done = asyncio.Event()

    async def asking(client: httpx.AsyncClient) -> None:
        while not done.is_set():
            try:
                answer = await client.get(url)
                said.append(answer.text if answer.status_code == 200 else f"status {answer.status_code}")
            except httpx.HTTPError as error:
                said.append(type(error).__name__)
            await asyncio.sleep(0.02)

    # podman's server of names closes its socket for a moment whenever a container comes or goes, and nginx asks again
    # only after 5 s: such a request is late, not lost.
    async with httpx.AsyncClient(timeout=30) as client:
        async with asyncio.timeout(60):
            while not await served(client, url):  # noqa: ASYNC110  asking is all that can be done
                await asyncio.sleep(0.1)
        asking_all = [asyncio.ensure_future(asking(client)) for _ in range(4)]
        await hands.do("workload.deploy", of="api", version="2", wait=20)
        await hands.do("workload.rollback", of="api", wait=20)
        done.set()
        await asyncio.gather(*asking_all)
    assert {"1", "2"} <= set(said)
    assert len(said) > 100
    assert [one for one in said if one not in ("1", "2")] == [], f"of {len(said)}"


async def served(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


async def test_what_publishes_a_fixed_port_is_replaced_and_put_back(hands: Hands, engine: Podman) -> None:
    await hands.do("workload.start", of="fixed")
    with pytest.raises(Unsupported, match="publishes the port"):
        await hands.plan("workload.scale", of="fixed", replicas=2)
    (deploy,) = await hands.plan("workload.deploy", of="fixed", version="2")
    assert "the old one stops before" in deploy.evidence["gap"]
    await hands.apply(deploy)
    first = await status(hands, "fixed")
    assert (first.version, [one.name for one in first.instances]) == ("2", [f"{engine.project}-fixed-1"])
    with pytest.raises(OpsbookError, match="no such table"):
        await hands.do("workload.deploy", of="fixed", version="broken")
    now = await status(hands, "fixed")
    assert (now.version, now.workload.ready, [one.name for one in now.instances]) == (
        "2",
        1,
        [f"{engine.project}-fixed-1"],
    )
    await hands.undo(deploy)
    assert (await status(hands, "fixed")).version == "1"


async def test_a_restart_gives_a_container_the_variables_that_its_file_has_now(hands: Hands, engine: Podman) -> None:
    runtime = hands.connections.runtime
    await hands.do("workload.start", of="told")
    before = await runtime.containers("told")  # type: ignore[attr-defined]
    await hands.do("workload.restart", of="told")
    same = await runtime.containers("told")  # type: ignore[attr-defined]
    assert [one.id for one in same] == [one.id for one in before]
    (engine.folder / "told.env").write_text("GREETING=good evening\n")
    await hands.do("workload.restart", of="told")
    assert (await runtime.environment("told"))["GREETING"] == "good evening"
    after = await runtime.containers("told")  # type: ignore[attr-defined]
    assert [one.name for one in after] == [one.name for one in before]
    assert not {one.id for one in after} & {one.id for one in before}


async def test_it_goes_on_where_a_replacement_was_cut_off(hands: Hands, engine: Podman) -> None:
    await hands.do("workload.start", of="fixed")
    await hands.do("workload.deploy", of="fixed", version="1")
    (deploy,) = await hands.plan("workload.deploy", of="fixed", version="2")
    client = engine.client()
    client.rename(f"{engine.project}-fixed-1", f"{engine.project}-fixed-1-before")
    client.stop(f"{engine.project}-fixed-1-before", timeout=2)
    client.close()
    await hands.apply(deploy)
    now = await status(hands, "fixed")
    assert (now.version, now.workload.ready, [one.name for one in now.instances]) == (
        "2",
        1,
        [f"{engine.project}-fixed-1"],
    )


async def test_a_failing_health_check_is_told_with_its_words(hands: Hands) -> None:
    with pytest.raises(OpsbookError, match="its health check fails: no disk"):
        await hands.do("workload.start", of="sick", wait=6)
    (sick,) = (await status(hands, "sick")).instances
    assert (sick.state, sick.ready, sick.reason) == ("unhealthy", False, "its health check fails: no disk")
    await hands.do("workload.stop", of="sick")


async def test_what_it_does_not_understand_is_refused_by_name(hands: Hands, engine: Podman) -> None:
    with pytest.raises(Unsupported, match="does not understand its `devices`"):
        await hands.plan("workload.start", of="strange")
    names = [one.name for one in await hands.connections.runtime.list()]
    assert names.index("web") < names.index("needy")

    (start,) = await hands.plan("workload.start", of="needy")
    written = engine.file.read_text()
    changed: dict[str, Any] = yaml.safe_load(written)
    changed["services"]["needy"]["mem_limit"] = "32m"
    engine.file.write_text(yaml.safe_dump(changed))
    try:
        with pytest.raises(Refused, match="changed in the compose file"):
            await hands.apply(start)
    finally:
        engine.file.write_text(written)


async def test_it_isolates_a_workload_and_connects_it_again(hands: Hands, engine: Podman) -> None:
    await hands.do("workload.start", of="web")
    runtime = hands.connections.runtime

    async def networks() -> list[list[str]]:
        return [list(one.networks) for one in await runtime.containers("web") if one.active]  # type: ignore[attr-defined]

    (isolate,) = await hands.plan("workload.isolate", of="web", network="default")
    await hands.apply(isolate)
    assert not any(await networks())
    assert (await status(hands, "web")).workload.ready >= 2, "they go on running"
    await hands.apply(isolate)
    with pytest.raises(Refused, match="in no network"):
        await hands.plan("workload.isolate", of="web")
    await hands.undo(isolate)
    assert all(one == [f"{engine.project}_default"] for one in await networks())
    await hands.do("workload.isolate", of="web")
    await hands.do("workload.reconnect", of="web")
    assert all(one == [f"{engine.project}_default"] for one in await networks())
    with pytest.raises(Absent, match="not in a network 'backend'"):
        await hands.plan("workload.isolate", of="web", network="backend")


async def test_an_engine_that_is_away_is_told_with_a_next_step(engine: Podman) -> None:
    away = engine.system(COMPONENTS, host=f"unix://{engine.folder}/nobody.sock")
    async with hands_of(away) as hands:
        with pytest.raises(Unreachable, match="cannot be reached") as told:
            await status(hands, "web")
    assert "may this user use its socket" in told.value.hint
