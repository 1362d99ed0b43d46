"""A front of several pods closed by the config map that they mount: every pod, also one that is started meanwhile.

In place of nginx, which the image has not got, a server that reads the included file anew when it is told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from opsbook.connectors.change import Change
from opsbook.connectors.registry import open_connections
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from tests.integration.cluster import Cluster, deployment, new_namespace, on_cluster, python, service
from tests.integration.hands import Hands

pytestmark = on_cluster("parts")

FILE = "/etc/front/closed/maintenance.conf"
FRONT = f"""\
import http.server, os, re, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
now = []
def read(*_):
    now[:] = re.findall(r"X-Opsbook-Maintenance (\\w+)", open("{FILE}").read())
read()
signal.signal(signal.SIGHUP, read)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if now else 200)
        if now:
            self.send_header("X-Opsbook-Maintenance", now[0])
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Answer).serve_forever()
"""
ASK = """\
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen("http://127.0.0.1:8000").status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
COMPONENT = {
    "kind": "proxy", "url": "http://front", "workload": "front", "through": "runtime",
    "maintenance": {"include": FILE, "config_map": "closed"},
    "reload": {"check": ["test", "-r", FILE], "command": ["sh", "-c", "kill -HUP 1"]},
}  # fmt: skip
WAIT_SECONDS = 120


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    closed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "closed"},
              "data": {"maintenance.conf": "# open\n"}}  # fmt: skip
    front = python("front", FRONT, volumeMounts=[{"name": "closed", "mountPath": "/etc/front/closed"}],
                   readinessProbe={"tcpSocket": {"port": 8000}, "periodSeconds": 1})  # fmt: skip
    volume = {"volumes": [{"name": "closed", "configMap": {"name": "closed"}}]}
    with new_namespace(
        closed, deployment("front", front, replicas=2, pod=volume), service("front", 80, 8000)
    ) as one:  # fmt: skip
        yield one


async def answers(runtime: Kubernetes) -> list[str]:
    """What each of both pods answers, once both are ready."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            pods = [pod.name for pod in await runtime.pods("front") if pod.ready and not pod.ending]
            if len(pods) == 2:
                argv = ["python3", "-S", "-c", ASK]
                seen = await runtime.look_inside("front", argv, 30, instances=pods, every=True)
                if len(seen) == 2 and all(one.code == 0 for one in seen):
                    return [one.said.strip() for one in seen]
            await asyncio.sleep(0.2)


async def test_every_pod_is_closed_and_opened_also_one_that_is_started_meanwhile(cluster: Cluster) -> None:
    system = cluster.system({"front": COMPONENT})
    async with open_connections(system) as connections:
        runtime, hands = connections.runtime, Hands(connections)
        assert isinstance(runtime, Kubernetes)
        assert await answers(runtime) == ["200", "200"]
        enter = await hands.only("maintenance.enter", of="front", message="Back soon.")
        assert enter.evidence["file"] == "configmap/closed, maintenance.conf"
        assert (await hands.apply(enter))["served"] == 503
        assert await answers(runtime) == ["503", "503"]

        first = (await runtime.pods("front"))[0]
        await runtime.api.ask("DELETE", runtime.namespace.core("pods", first.name))
        assert await answers(runtime) == ["503", "503"]

        leave = await hands.only("maintenance.leave", of="front")
        assert (await hands.apply(leave))["maintenance"] is False
        assert await answers(runtime) == ["200", "200"]
        kept = await runtime.api.get(runtime.namespace.core("configmaps", "closed"))
        assert kept["data"]["maintenance.conf"] == "# open\n"
        assert isinstance(leave.inverse, Change), "it was closed"
        await hands.undo(enter)
        assert await answers(runtime) == ["200", "200"], "an undo of what is over does nothing"
