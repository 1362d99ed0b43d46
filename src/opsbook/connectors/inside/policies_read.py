"""The two ends of a connection and the policies about them, as the API server has them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.inside.policies import End, Ruling, ruling
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_budgets import selects
from opsbook.connectors.runtimes.kubernetes_forward import Inside
from opsbook.connectors.runtimes.kubernetes_kinds import template_of


async def ruling_of(kubernetes: Kubernetes, workload: str, host: str, port: int) -> Ruling:
    """What the policies say of connections from a workload to a service or address. Raises ReadFailed."""
    _, one = await kubernetes.found(workload)
    home = kubernetes.namespace.name
    source = End(workload, home, template_of(one)["metadata"].get("labels") or {}, await _labels(kubernetes, home))
    target, port = await _target(kubernetes, host, port)
    policies: list[Object] = []
    for namespace in {home, target.namespace} - {""}:
        try:
            served = await kubernetes.namespace.served("networking.k8s.io", ("v1",), "networkpolicies")
            async for policy in kubernetes.api.pages(f"{served}/namespaces/{namespace}/networkpolicies"):
                policy["metadata"].setdefault("namespace", namespace)
                policies.append(policy)
        except NotThere:
            continue
        except ApiFault as error:
            if error.code == 403:
                raise ReadFailed(f"this credential may not read the network policies of {namespace}",
                                 "`opsbook generate rbac` prints the role that this book needs") from error  # fmt: skip
            raise
    return ruling(policies, source, target, port)


async def _target(kubernetes: Kubernetes, host: str, port: int) -> tuple[End, int]:
    """The pods behind a service, and the port of theirs; else the address itself."""
    inside = Inside.read(host, kubernetes.namespace.name)
    try:
        service = await kubernetes.api.get(f"/api/v1/namespaces/{inside.namespace}/services/{inside.service}")
    except ApiFault:
        return End(host, address=host if _is_address(host) else ""), port
    selector = {"matchLabels": service["spec"].get("selector") or {}}
    said: Object = next((one for one in service["spec"].get("ports") or [] if one["port"] == port), {})
    wanted: Any = said.get("targetPort", port)
    async for pod in kubernetes.api.pages(f"/api/v1/namespaces/{inside.namespace}/pods"):
        labels = pod["metadata"].get("labels") or {}
        if not selector["matchLabels"] or not selects(selector, labels):
            continue
        ports = {each["name"]: each["containerPort"] for container in pod["spec"]["containers"]
                 for each in container.get("ports") or [] if each.get("name")}  # fmt: skip
        number = ports.get(wanted, port) if isinstance(wanted, str) else int(wanted)
        address = (pod.get("status") or {}).get("podIP", "")
        spaces = await _labels(kubernetes, inside.namespace)
        return End(inside.service, inside.namespace, labels, spaces, address, ports), number
    return End(
        inside.service, inside.namespace, selector["matchLabels"], await _labels(kubernetes, inside.namespace)
    ), (port if isinstance(wanted, str) else int(wanted))


async def _labels(kubernetes: Kubernetes, namespace: str) -> dict[str, str]:
    """Labels of a namespace; only its name, as newer servers set it, where it may not be read."""
    usual = {"kubernetes.io/metadata.name": namespace}
    try:
        found = await kubernetes.api.get(f"/api/v1/namespaces/{namespace}")
    except ApiFault:
        return usual
    return dict(found["metadata"].get("labels") or {})


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
