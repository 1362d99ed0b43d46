"""The variables of a container. Values that stand in secrets and config maps are told by the name of those."""

from __future__ import annotations

from opsbook.connectors.runtimes.kubernetes_api import ApiFault, Object
from opsbook.connectors.runtimes.kubernetes_look import Namespace


async def variables(namespace: Namespace, container: Object) -> dict[str, str]:
    """Name → value, or where it comes from. `env` wins over `envFrom`, as in the container."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        found |= await _all_of(namespace, source)
    for one in container.get("env") or []:
        found[one["name"]] = one.get("value", "") if "valueFrom" not in one else _from(one["valueFrom"])
    return found


def _from(source: Object) -> str:
    if reference := source.get("secretKeyRef"):
        return f"from secret {reference['name']}, key {reference['key']}"
    if reference := source.get("configMapKeyRef"):
        return f"from config map {reference['name']}, key {reference['key']}"
    if reference := source.get("fieldRef"):
        return f"from field {reference['fieldPath']}"
    reference = source.get("resourceFieldRef") or {}
    return f"from resource {reference.get('resource', '')}"


async def _all_of(namespace: Namespace, source: Object) -> dict[str, str]:
    """Every key of a secret or a config map; its values are not kept. None where it may not be read."""
    plural, what, key = ("secrets", "secret", "secretRef") if "secretRef" in source else \
                        ("configmaps", "config map", "configMapRef")  # fmt: skip
    name, prefix = source[key]["name"], source.get("prefix", "")
    try:
        keys = (await namespace.api.get(namespace.core(plural, name))).get("data") or {}
    except ApiFault:
        return {}
    return {f"{prefix}{one}": f"from {what} {name}, key {one}" for one in keys}
