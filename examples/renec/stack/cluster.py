"""A namespace of a Kubernetes: objects made from manifests, what is ready, jobs that are run to their end."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml

from opsbook.connectors.runtimes.kubernetes_api import ApiFault, KubernetesApi, NotThere
from opsbook.errors import OpsbookError
from stack.errors import StackError

Object = dict[str, Any]
T = TypeVar("T")
PLURALS = {"NetworkPolicy": "networkpolicies"}
CLUSTER_WIDE = ("Namespace", "PersistentVolume")
OLDER = {
    "policy/v1": ("policy/v1beta1",),
    "batch/v1": ("batch/v1beta1",),
    "autoscaling/v2": ("autoscaling/v2beta2",),
}
"""Groups whose newer version has the same keys, and the older one that earlier servers know."""
ANSWER_SECONDS, POLL_SECONDS = 20.0, 0.5
CONFLICT = 409


class Cluster:
    """One namespace, with the credential of KUBECONFIG."""

    def __init__(self, namespace: str = "") -> None:
        self.namespace = namespace or os.environ.get("RENEC_NAMESPACE", "renec-harvester")

    def do(self, act: Callable[[KubernetesApi], Awaitable[T]]) -> T:
        """Something with the API. Raises StackError with what it said."""

        async def run() -> T:
            api = KubernetesApi("", "", ANSWER_SECONDS)
            try:
                return await act(api)
            finally:
                await api.close()

        try:
            return asyncio.run(run())
        except OpsbookError as error:
            raise StackError(str(error), error.hint) from error

    @cached_property
    def known(self) -> dict[str, set[str]]:
        """Group and version → the kinds that this server has of it, for those of which there is an older one."""

        async def ask(api: KubernetesApi) -> dict[str, set[str]]:
            found: dict[str, set[str]] = {}
            for version in OLDER:
                with suppress(NotThere):
                    said = await api.get(f"/apis/{version}")
                    found[version] = {one["kind"] for one in said["resources"]}
            return found

        return self.do(ask)

    def fitted(self, wanted: Object) -> Object:
        """The object in a version that this server knows."""
        version, kind = wanted["apiVersion"], wanted["kind"]
        if version in OLDER and kind not in self.known.get(version, set()):
            return {**wanted, "apiVersion": OLDER[version][0]}
        return wanted

    def path(self, one: Object, name: str = "") -> str:
        """The path of its kind, or of one of them."""
        version, kind = one["apiVersion"], one["kind"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        scope = "" if kind in CLUSTER_WIDE else f"/namespaces/{self.namespace}"
        return f"{base}{scope}/{PLURALS.get(kind, kind.lower() + 's')}" + (f"/{name}" if name else "")

    def make(self, *wanted: Object) -> list[str]:
        """Make what is not there; what is stays as operations left it. Gives the names of what was made."""
        fitting = [self.fitted(one) for one in wanted]

        async def act(api: KubernetesApi) -> list[str]:
            made = []
            for one in fitting:
                try:
                    await api.post(self.path(one), one)
                except ApiFault as fault:
                    if fault.code != CONFLICT:
                        raise
                else:
                    made.append(f"{one['kind']}/{one['metadata']['name']}")
            return made

        return self.do(act)

    def read(self, path: str) -> Object | None:
        """An object or list below the namespace, as `apps/v1/deployments`; None where there is none."""

        async def act(api: KubernetesApi) -> Object | None:
            try:
                return await api.get(self.below(path))
            except NotThere:
                return None

        return self.do(act)

    def change(self, path: str, body: Object) -> Object:
        """Merge into an object below the namespace."""
        return self.do(lambda api: api.patch(self.below(path), body, manager="renec"))

    def remove(self, path: str) -> None:
        """Delete an object below the namespace, and what belongs to it."""

        async def act(api: KubernetesApi) -> None:
            with suppress(NotThere):
                await api.ask("DELETE", self.below(path), {"propagationPolicy": "Background"})

        self.do(act)

    def remove_all(self, path: str) -> None:
        """Delete by a whole path, as of what is in no namespace."""

        async def act(api: KubernetesApi) -> None:
            with suppress(NotThere):
                await api.ask("DELETE", path)

        self.do(act)

    def below(self, path: str) -> str:
        """`v1/pods` or `apps/v1/deployments` as a path of the API."""
        if path.startswith("v1/"):
            return f"/api/v1/namespaces/{self.namespace}/{path[3:]}"
        first, second, rest = path.split("/", 2)
        return f"/apis/{first}/{second}/namespaces/{self.namespace}/{rest}"

    def there(self) -> bool:
        """Whether the namespace exists."""

        async def act(api: KubernetesApi) -> bool:
            try:
                await api.get(f"/api/v1/namespaces/{self.namespace}")
            except NotThere:
                return False
            return True

        return self.do(act)

    def log(self, selector: str, lines: int = 8) -> str:
        """The last lines of the newest pod that has these labels."""

        async def act(api: KubernetesApi) -> str:
            pods = await api.get(self.below("v1/pods"), {"labelSelector": selector})
            newest = sorted(pods["items"], key=lambda pod: pod["metadata"]["creationTimestamp"])
            if not newest:
                return "no pod was made"
            path = self.below(f"v1/pods/{newest[-1]['metadata']['name']}/log")
            with suppress(OpsbookError):
                async with api.lines(path, {"tailLines": lines}) as found:
                    return "\n".join([line async for line in found])
            return str(newest[-1]["status"].get("phase", ""))

        return self.do(act)

    def run_job(self, job: Object, seconds: float) -> str:
        """Run a job to its end; gives what it said. Raises StackError with that where it failed."""
        name = job["metadata"]["name"]
        self.remove(f"batch/v1/jobs/{name}")
        self.wait(lambda: self.read(f"batch/v1/jobs/{name}") is None, 60, f"the job {name} before this one did not go")
        self.make(job)

        def ended() -> str:
            conditions = ((self.read(f"batch/v1/jobs/{name}") or {}).get("status") or {}).get("conditions") or []
            return next((one["type"] for one in conditions if one["status"] == "True"), "")

        self.wait(lambda: bool(ended()), seconds, f"the job {name} did not end")
        said = self.log(f"job-name={name}")
        if ended() != "Complete":
            raise StackError(f"the job {name} failed: {said}")
        return said

    def wait(self, state: Callable[[], bool], seconds: float, what: str, hint: str = "") -> None:
        """Return as soon as `state` holds. Raises StackError naming `what`."""
        deadline = time.monotonic() + seconds
        while not state():
            if time.monotonic() > deadline:
                raise StackError(f"{what} within {seconds:.0f} s", hint)
            time.sleep(POLL_SECONDS)


def manifests(folder: Path) -> Iterator[Object]:
    """Every object of the files of a folder, in the order of their names."""
    for file in sorted(folder.glob("*.yaml")):
        yield from (one for one in yaml.safe_load_all(file.read_text()) if one)


def secret(name: str, values: Mapping[str, str], kind: str = "Opaque") -> Object:
    """A Secret with these values."""
    metadata = {"name": name, "labels": {"app.kubernetes.io/part-of": "renec"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "stringData": dict(values)}
