"""A disposable Kubernetes that is given to the tests, and small workloads in a namespace of their own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from opsbook.book.system import System
from opsbook.connectors.runtimes.kubernetes_api import KubernetesApi, NotThere
from tests.integration.servers import make_system, own_folder
from tests.integration.turns import alone, together

GIVEN = os.environ.get("OPSBOOK_TEST_KUBERNETES") == "1" and bool(os.environ.get("KUBECONFIG"))
NOT_GIVEN = "no disposable kubernetes is given: set KUBECONFIG, and OPSBOOK_TEST_KUBERNETES=1"
AUDIT = os.environ.get("OPSBOOK_TEST_KUBERNETES_AUDIT", "")
"""The audit log of its API server, where there is one."""

needs_kubernetes = pytest.mark.skipif(not GIVEN, reason=NOT_GIVEN)
WAITS_SECONDS = 300
"""A test that is alone with the cluster lets the others wait."""


def on_cluster(group: str, seconds: float = WAITS_SECONDS) -> list[pytest.MarkDecorator]:
    """The marks of tests that need the cluster. Those of one group run one after the other, the groups side by side:
    `deploys`, `systems` and `parts` take about as long as each other."""
    grouped = pytest.mark.xdist_group(f"kubernetes-{group}")
    return [pytest.mark.real, needs_kubernetes, grouped, pytest.mark.timeout(seconds)]


T = TypeVar("T")

BEAT = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("INFO started", os.environ["APP_VERSION"], os.environ["HOSTNAME"], flush=True)
while True:
    time.sleep(0.2)
"""
SERVE = """\
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (os.environ["APP_VERSION"] + " " + os.environ["HOSTNAME"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8000), Answer).serve_forever()
"""


def container(name: str, command: list[str], image: str = "localhost/base:1", **keys: Any) -> dict[str, Any]:
    """A container of an image that is in the cluster."""
    return {"name": name, "image": image, "imagePullPolicy": "Never", "command": command, **keys}


def python(name: str, program: str, **keys: Any) -> dict[str, Any]:
    """A container that runs a Python program."""
    return container(name, ["python3", "-S", "-c", program], **keys)


def template(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod template."""
    return {"metadata": {"labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 2, "containers": list(containers), **spec}}  # fmt: skip


def deployment(name: str, *containers: dict[str, Any], replicas: int = 1, **spec: Any) -> dict[str, Any]:
    """A Deployment."""
    return workload("Deployment", name, *containers, replicas=replicas, **spec)


def workload(kind: str, name: str, *containers: dict[str, Any], pod: Any = None, **spec: Any) -> dict[str, Any]:
    """A workload of the group `apps`."""
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": name}},
                     "template": template(name, *containers, **(pod or {})), **spec}}  # fmt: skip


def service(name: str, port: int, target: int | None = None, **spec: Any) -> dict[str, Any]:
    """A Service before the pods of a workload of the same name."""
    ports = [{"port": port, "targetPort": target or port}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": ports, **spec}}  # fmt: skip


PLURALS = {"Endpoints": "endpoints", "NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}

OTHERS_MAKE = ("namespaces", "clusterroles", "clusterrolebindings")
"""What tests beside this one make that is in no namespace."""


def size_of_audit() -> int:
    """Where its audit log ends now."""
    return Path(AUDIT).stat().st_size


class Cluster:
    """One namespace of the given cluster."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder, self.namespace = folder, namespace

    def do(self, act: Callable[[KubernetesApi], Awaitable[T]]) -> T:
        """Something with the API, outside of any test's event loop."""

        async def run() -> T:
            api = KubernetesApi("", "", 15)
            try:
                return await act(api)
            finally:
                await api.close()

        # In a thread: a test may have a loop of its own.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(run())).result()

    def path(self, one: dict[str, Any], name: str = "") -> str:
        version, kind = one["apiVersion"], one["kind"]
        plural = PLURALS.get(kind, kind.lower() + "s")
        base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        scope = "" if kind in ("Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume") else (
            f"/namespaces/{one['metadata'].get('namespace', self.namespace)}")  # fmt: skip
        return f"{base}{scope}/{plural}" + (f"/{name}" if name else "")

    def make(self, *objects: dict[str, Any]) -> None:
        """Makes objects as they are."""

        async def act(api: KubernetesApi) -> None:
            for one in objects:
                await api.post(self.path(one), one)

        self.do(act)

    def remove(self, *objects: dict[str, Any]) -> None:
        """Deletes objects; what is gone already is fine."""

        async def act(api: KubernetesApi) -> None:
            for one in objects:
                with suppress(NotThere):
                    await api.ask("DELETE", self.path(one, one["metadata"]["name"]))

        self.do(act)

    def system(self, components: dict[str, dict[str, Any]], kubeconfig: str = "", **keys: Any) -> System:
        """A system of these components in this namespace."""
        runtime = {"kind": "kubernetes", "namespace": self.namespace, "kubeconfig": kubeconfig}
        folder = self.folder / secrets.token_hex(4)
        environments = {"test": {"policy": "open", "runtime": runtime}}
        return make_system(folder, components, environments=environments, **keys)

    def writes(self, since: int) -> list[str]:
        """What was really written in the namespace since a place of the audit log: no dry runs, no access reviews."""
        found = []
        with Path(AUDIT).open("rb") as file:
            file.seek(since)
            for line in file:
                event = json.loads(line)
                about = event.get("objectRef") or {}
                if event["verb"] not in ("create", "update", "patch", "delete", "deletecollection"):
                    continue
                if "dryRun=All" in event["requestURI"] or about.get("resource", "").startswith("selfsubject"):
                    continue
                if not event.get("userAgent", "").startswith("kr8s"):
                    continue
                # Another test of the same cluster may be at work: in a namespace of its own, which it made.
                if about.get("namespace", self.namespace) != self.namespace or about.get("resource") in OTHERS_MAKE:
                    continue
                found.append(f"{event['verb']} {event['requestURI']}")
        return found


@contextmanager
def new_namespace(*objects: dict[str, Any], only: bool = False) -> Iterator[Cluster]:
    """A namespace with these objects, removed at the end; `only` is for a test that others would feel."""
    name = f"opsbook-{secrets.token_hex(4)}"
    with alone() if only else together(name), own_folder("k8s") as folder:
        cluster = Cluster(folder, name)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}}
        cluster.make(namespace)
        try:
            cluster.make(*objects)
            yield cluster
        finally:
            cluster.remove(namespace)
