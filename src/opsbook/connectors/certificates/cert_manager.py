"""Certificates that cert-manager keeps: found by their Secret, and asked to be renewed as cmctl asks.

`cmctl renew` sets the condition Issuing of the status; the controller issues, and removes it
(cert-manager.io/docs/reference/cmctl/#renew).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from opsbook.book.planned import Certificate
from opsbook.book.system import System
from opsbook.connectors.held.places import parts_of
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import NotThere, Object
from opsbook.errors import Refused

GROUP, VERSIONS, PLURAL = "cert-manager.io", ("v1", "v1beta1", "v1alpha2"), "certificates"


async def kept_by_cert_manager(system: System, kubernetes: Kubernetes, certificate: Certificate) -> Object:
    """The Certificate whose Secret the book names. Raises Refused where there is none."""
    written = certificate.certificate
    parts = parts_of(system, written, "tls.crt") if written is not None else None
    if parts is None or parts.scheme != "secret":
        raise Refused(f"the book does not say in which Secret {certificate.id} is", "set `certificate: secret:NAME`")
    try:
        path = await kubernetes.namespace.path(GROUP, VERSIONS, PLURAL)
        found = [one async for one in kubernetes.api.pages(path) if one["spec"].get("secretName") == parts.where]
    except NotThere as error:
        raise Refused("the cluster has no cert-manager", "renew it in another way: see `method`") from error
    if not found:
        raise Refused(f"no Certificate of cert-manager keeps the Secret {parts.where}", "see `certificate` in the book")
    return found[0]


def condition(one: Object, kind: str) -> dict[str, Any]:
    """A condition of its status; empty where there is none."""
    known = (one.get("status") or {}).get("conditions") or []
    return next((each for each in known if each["type"] == kind), {})


def revision(one: Object) -> int:
    """How often it was issued."""
    return int((one.get("status") or {}).get("revision") or 0)


async def ask(kubernetes: Kubernetes, one: Object, now: datetime) -> None:
    """Have it issued anew; what is asked for already is not asked for again."""
    if condition(one, "Issuing").get("status") == "True":
        return
    others = [each for each in (one.get("status") or {}).get("conditions") or [] if each["type"] != "Issuing"]
    wanted = {
        "type": "Issuing", "status": "True", "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance manually triggered", "lastTransitionTime": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "observedGeneration": one["metadata"].get("generation", 1),
    }  # fmt: skip
    path = await kubernetes.namespace.path(GROUP, VERSIONS, PLURAL, one["metadata"]["name"], "status")
    guard = {"resourceVersion": one["metadata"]["resourceVersion"]}
    await kubernetes.api.patch(path, {"metadata": guard, "status": {"conditions": [*others, wanted]}})
