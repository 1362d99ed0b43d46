"""A small application in a namespace, with two sides, an autoscaler and a pod that asks it all the time.

A version of it has the fault that a config map says, so that two images are enough for every kind of bad version.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from opsbook.connectors.runtimes.kubernetes_api import MERGE, KubernetesApi
from tests.integration.cluster import Cluster, deployment, python, service
from tests.integration.renec_book import OPSBOOK

APPLICATION = """\
import http.server, json, os, signal, threading, time
version = os.environ["APP_VERSION"]
fault = os.environ.get("FAULT_" + version, "")
if fault == "crash":
    threading.Timer(3, lambda: os._exit(3)).start()
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        health = self.path == "/health"
        status = 503 if health and fault == "never-ready" else 500 if not health and fault == "errors" else 200
        if fault == "slow" and not health:
            time.sleep(3)
        wrong = fault == "wrong" and not health
        body = json.dumps({"error": "no such table"} if wrong else {"items": [], "version": version}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = False
server = Server(("", 8000), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
os._exit(0)
"""
ASKING = """\
import collections, http.client, json, threading, time
found = collections.Counter()
def ask():
    while True:
        began = time.monotonic()
        try:
            connection = http.client.HTTPConnection("api", 8000, timeout=30)
            connection.request("GET", "/items")
            answer = connection.getresponse()
            answer.read()
            connection.close()
            found[str(answer.status)] += 1
        except OSError as error:
            found[type(error).__name__] += 1
        except http.client.HTTPException as error:
            found[type(error).__name__] += 1
        time.sleep(max(0, EVERY - (time.monotonic() - began)))
for _ in range(8):
    threading.Thread(target=ask, daemon=True).start()
while True:
    time.sleep(0.5)
    print(json.dumps(found), flush=True)
"""
READY = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1, "failureThreshold": 10, "timeoutSeconds": 10}
"""Patient: on a loaded machine a pod that serves must not be taken for one that does not."""
FAULTS = [{"name": f"FAULT_{one}", "valueFrom": {"configMapKeyRef": {"name": "faults", "key": one, "optional": True}}}
          for one in ("1", "2")]  # fmt: skip
GRACE = {"preStop": {"exec": {"command": ["sleep", "10"]}}}
"""A pod that is asked to end serves on until every node knows: without it no rolling update is without a gap."""


SIDES = {"blue": "api", "green": "api-green", "service": "api", "blue_url": "http://api-blue:8000",
         "green_url": "http://api-green:8000", "strategy": "blue-green", "drain": "5s"}  # fmt: skip


def side(name: str, colour: str, replicas: int, env: Sequence[Any] = (), **keys: Any) -> dict[str, Any]:
    """One of the two."""
    container = python("api", APPLICATION, env=[*FAULTS, *env], **keys, readinessProbe=READY, lifecycle=GRACE,
                       resources={"requests": {"cpu": "10m"}})  # fmt: skip
    found = deployment(name, container, replicas=replicas,
                       strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})  # fmt: skip
    labels = {"part": "api", "side": colour}
    found["spec"]["selector"]["matchLabels"] = labels
    found["spec"]["template"]["metadata"]["labels"] = labels
    found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 20
    return found


def behind(name: str, **labels: str) -> dict[str, Any]:
    """A service before pods with these labels."""
    found = service(name, 8000)
    found["spec"]["selector"] = {"part": "api", **labels}
    return found


def objects(replicas: int = 2) -> list[dict[str, Any]]:
    """All of it; `ask` is scaled up by who wants the load."""
    autoscaler = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "api"},
                  "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"},
                           "minReplicas": replicas, "maxReplicas": replicas + 1,
                           "targetCPUUtilizationPercentage": 5000}}  # fmt: skip
    ask = python("ask", ASKING.replace("EVERY", os.environ.get("OPSBOOK_TEST_EVERY", "0.2")))
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "faults"}, "data": {}},
        side("api", "blue", replicas), side("api-green", "green", 0), behind("api", side="blue"),
        behind("api-blue", side="blue"), behind("api-green", side="green"), autoscaler,
        deployment("ask", ask, replicas=0),
    ]  # fmt: skip


def book(cluster: Cluster, folder: Path, kubeconfig: str = "", **keys: Any) -> Path:
    """A book of it, as a team writes it."""
    runtime = {"kind": "kubernetes", "namespace": cluster.namespace, "kubeconfig": kubeconfig}
    deploys = {"watch": "4s", "wait": "60s", "latency": "2s", "components": {"api": SIDES}, **keys.pop("deploys", {})}
    said = {
        "opsbook": 1, "system": "shop", "environments": {"test": {"policy": "open", "runtime": runtime}},
        "components": {"api": {"kind": "http", "url": "http://api:8000", "through": "runtime", "workload": "api"},
                       **keys.pop("components", {})},
        "checks": [{"id": "api-up", "of": "api", "observe": "http.up"}],
        "smoke_tests": [{"id": "list", "of": "api", "path": "/items", "contains": "items"}],
        "deploys": deploys, **keys,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "book.yaml").write_text(yaml.safe_dump(said))
    return folder


class Shop:
    """The application and its book."""

    def __init__(self, cluster: Cluster, ops: Path) -> None:
        self.cluster, self.ops = cluster, ops

    def opsbook(self, *words: str, ops: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A verb; nobody is at its terminal."""
        return subprocess.run([str(OPSBOOK), *words, "--book", str(ops or self.ops)], capture_output=True, text=True,
                              timeout=300, stdin=subprocess.DEVNULL, check=False)  # fmt: skip

    def run(self, *words: str, ops: Path | None = None) -> dict[str, Any]:
        """A verb that makes a run; the run where it ended."""
        done = self.opsbook(*words, "--yes", "--format", "json", ops=ops)
        assert done.stdout, done.stderr
        view: dict[str, Any] = json.loads(done.stdout)
        return view

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object as it is now."""
        version = {"Deployment": "apps/v1", "HorizontalPodAutoscaler": "autoscaling/v1"}.get(kind, "v1")
        one = {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
        return self.cluster.do(lambda api: api.get(self.cluster.path(one, name)))

    def patch(self, version: str, kind: str, name: str, body: dict[str, Any], below: str = "") -> None:
        path = self.cluster.path({"apiVersion": version, "kind": kind, "metadata": {"name": name}}, name)

        async def act(api: KubernetesApi) -> None:
            await api.patch(path + below, body, MERGE)

        self.cluster.do(act)

    def fault(self, version: str, what: str) -> None:
        """What pods of a version do from now on, once they start; empty: nothing bad."""
        self.patch("v1", "ConfigMap", "faults", {"data": {version: what or None}})

    def scale(self, name: str, replicas: int) -> None:
        """Wanted, and ready."""
        self.patch("apps/v1", "Deployment", name, {"spec": {"replicas": replicas}})
        deadline = time.monotonic() + 120
        while self.get("Deployment", name)["status"].get("readyReplicas", 0) != replicas:
            assert time.monotonic() < deadline, f"{name} does not come to {replicas}"
            time.sleep(0.3)

    def serving(self) -> tuple[str, str]:
        """The side that has the traffic, and the version of its pods."""
        colour = self.get("Service", "api")["spec"]["selector"]["side"]
        image = self.get("Deployment", "api" if colour == "blue" else "api-green")["spec"]["template"]["spec"]
        return colour, image["containers"][0]["image"].rpartition(":")[2]

    def count(self) -> dict[str, int]:
        """What became of all requests of the pod that asks, so far."""
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        from opsbook.connectors.registry import open_connections
        from opsbook.connectors.runtimes.contract import LogQuery

        async def read() -> dict[str, int]:
            async with open_connections(self.cluster.system({"ask": {"kind": "workload"}})) as connections:
                lines = [line.text async for line in connections.runtime.logs("ask", LogQuery(tail=1))]
            found: dict[str, int] = json.loads(lines[-1]) if lines else {}
            return found

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(read())).result()

    @contextmanager
    def asked(self) -> Iterator[dict[str, int]]:
        """What became of the requests that were sent meanwhile, when it is over."""
        found: dict[str, int] = {}
        before = self.count()
        yield found
        time.sleep(1.0)  # the pod tells each half second
        found.update({key: value - before.get(key, 0) for key, value in self.count().items()
                      if value - before.get(key, 0)})  # fmt: skip
