"""What a namespace holds, in one look that all facts of a sweep share: its workloads, and its pods by workload."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from opsbook.book.words import nearest
from opsbook.connectors.runtimes.kubernetes_api import METADATA_ONLY, ROLE, ApiFault, KubernetesApi, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_kinds import CRON_JOB, JOB, KINDS, REPLICA_SET, Kind
from opsbook.connectors.runtimes.kubernetes_pods import Pod, read_pod
from opsbook.errors import Absent, Refused

FORBIDDEN = 403


@dataclass
class Look:
    """A namespace at one moment."""

    workloads: dict[tuple[str, str], Object] = field(default_factory=dict)
    pods: dict[tuple[str, str], list[Pod]] = field(default_factory=lambda: defaultdict(list))
    forbidden: list[str] = field(default_factory=list)
    """What this credential may not list, in the server's words."""

    def find(self, name: str) -> tuple[Kind, Object]:
        """A workload by its name, or by kind and name: `api`, `deployment/api`. Raises Absent, Refused."""
        kind, slash, last = name.rpartition("/")
        wanted = last if slash else name
        found = [key for key in self.workloads if key[1] == wanted and (not slash or key[0].lower() == kind.lower())]
        if not found:
            if self.forbidden and not self.workloads:
                raise Refused(f"Kubernetes: {self.forbidden[0]}", ROLE)
            raise Absent(
                f"the namespace holds no workload named {name!r}", nearest(name, {key[1] for key in self.workloads})
            )
        if len(found) > 1:
            both = ", ".join(f"{key[0].lower()}/{key[1]}" for key in found)
            raise Absent(f"several workloads are named {name!r}: {both}", "name one with its kind in `workload`")
        return KINDS[found[0][0]], self.workloads[found[0]]

    def pods_of(self, kind: Kind, name: str) -> list[Pod]:
        """The pods of a workload; those of a cron job are of its jobs."""
        if kind is CRON_JOB:
            jobs = [
                key[1] for key, one in self.workloads.items() if key[0] == JOB.name and _owner(one) == (kind.name, name)
            ]
            return [pod for job in jobs for pod in self.pods.get((JOB.name, job), [])]
        return self.pods.get((kind.name, name), [])


def _owner(one: Object) -> tuple[str, str]:
    for reference in one["metadata"].get("ownerReferences") or []:
        if reference.get("controller"):
            return reference["kind"], reference["name"]
    return "", ""


def owner_labels(one: Object) -> str:
    """The label selector of a workload, as a query has it."""
    selector = one["spec"].get("selector") or {}
    words = [f"{name}={value}" for name, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or []:
        operator, values = rule["operator"], ",".join(rule.get("values") or [])
        words.append({"In": f"{rule['key']} in ({values})", "NotIn": f"{rule['key']} notin ({values})",
                      "Exists": rule["key"], "DoesNotExist": f"!{rule['key']}"}[operator])  # fmt: skip
    return ",".join(words)


class Namespace:
    """The paths of one namespace, with the versions that this server has."""

    def __init__(self, api: KubernetesApi, name: str) -> None:
        self.api, self.name = api, name
        self._groups: Mapping[str, frozenset[str]] | None = None
        self._served: dict[str, frozenset[str]] = {}
        self._asking = asyncio.Lock()

    async def served(self, group: str, versions: tuple[str, ...], plural: str) -> str:
        """`/apis/GROUP/VERSION` in the newest of these versions that the server has. Raises NotThere."""
        if group == "":
            return "/api/v1"
        async with self._asking:
            if self._groups is None:
                found = await self.api.get("/apis")
                self._groups = {
                    one["name"]: frozenset(v["version"] for v in one["versions"]) for one in found["groups"]
                }
        for version in versions:
            if version not in self._groups.get(group, ()):
                continue
            path = f"/apis/{group}/{version}"
            if len(versions) == 1 or plural in await self._resources(path):
                return path
        raise NotThere(404, "NotFound", f"this cluster has no {plural} of {group} ({' or '.join(versions)})")

    async def _resources(self, path: str) -> frozenset[str]:
        if path not in self._served:
            found = await self.api.get(path)
            self._served[path] = frozenset(one["name"] for one in found["resources"])
        return self._served[path]

    async def path(self, group: str, versions: tuple[str, ...], plural: str, name: str = "", below: str = "") -> str:
        """The path of a resource of this namespace, of one object, or of what is below it (`scale`, `log`)."""
        base = f"{await self.served(group, versions, plural)}/namespaces/{self.name}/{plural}"
        return base + (f"/{name}" if name else "") + (f"/{below}" if below else "")

    async def of(self, kind: Kind, name: str = "", below: str = "") -> str:
        """The path of workloads of a kind, of one, or of what is below it."""
        return await self.path(kind.group, kind.versions, kind.plural, name, below)

    def core(self, plural: str, name: str = "", below: str = "") -> str:
        """The path of pods, services, secrets and the like."""
        return (
            f"/api/v1/namespaces/{self.name}/{plural}" + (f"/{name}" if name else "") + (f"/{below}" if below else "")
        )

    async def look(self) -> Look:
        """Everything at once, each kind on a connection of its own. What may not be listed is noted, not raised."""
        look = Look()
        await self.api.open()
        await asyncio.gather(self._pods(look), *(self._kind(look, kind) for kind in KINDS.values()))
        return look

    async def _pods(self, look: Look) -> None:
        async for one in self.api.pages(self.core("pods")):
            pod = read_pod(one)
            look.pods[pod.owner].append(pod)

    async def _kind(self, look: Look, kind: Kind) -> None:
        try:
            async for one in self._workloads(kind):
                look.workloads[kind.name, one["metadata"]["name"]] = one
        except NotThere:
            return
        except ApiFault as error:
            if error.code != FORBIDDEN:
                raise
            look.forbidden.append(error.message.removeprefix("Kubernetes: "))

    async def _workloads(self, kind: Kind) -> AsyncIterator[Object]:
        """Those of a kind that nothing else of a kind owns, but for the jobs of cron jobs."""
        path = await self.of(kind)
        if kind is not REPLICA_SET:
            async for one in self.api.pages(path):
                one["metadata"].pop("managedFields", None)
                yield one
            return
        # A Deployment leaves ten old ones behind, each with its whole template: only those without owner are read.
        async for one in self.api.pages(path, accept=METADATA_ONLY):
            if not _owner(one)[0]:
                yield await self.api.get(f"{path}/{one['metadata']['name']}")
