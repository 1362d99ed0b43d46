"""Changes of the kind `certificate-ask`: cert-manager is asked to renew, and waited for.

effect: `certificate`, its id in the book; `name` of cert-manager's Certificate; `revision` before; `within`, seconds.
result: `revision`, and `ends` as cert-manager says.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from opsbook.connectors.certificates.cert_manager import ask, condition, kept_by_cert_manager, revision
from opsbook.connectors.certificates.places import certificate_of
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor

LOOK_SECONDS = 0.5


@executor("certificate-ask")
class Ask:
    """Asks and waits."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed with cert-manager's words where nothing is issued in time."""
        certificate = certificate_of(self.system, change.effect["certificate"])
        kubernetes = kubernetes_of(self.connections.runtime)
        deadline, asked = time.monotonic() + change.effect["within"], False
        while True:
            one = await kept_by_cert_manager(self.system, kubernetes, certificate)
            issued = revision(one) > change.effect["revision"]
            if issued and condition(one, "Ready").get("status") == "True":
                ends = one["status"].get("notAfter", "")
                await out.write(f"cert-manager has issued {change.effect['name']} until {ends}\n")
                return Done({"revision": revision(one), "ends": ends})
            if not issued and not asked:
                await ask(kubernetes, one, datetime.now(UTC))
                asked = True
            if time.monotonic() > deadline:
                failing = condition(one, "Issuing") or condition(one, "Ready")
                why = failing.get("message") or "it says nothing"
                raise ChangeFailed(f"cert-manager has not issued {change.effect['name']}: {why}", "see its issuer")
            await asyncio.sleep(LOOK_SECONDS)

    async def end(self, key: str, change: Change) -> bool:
        """What was asked for is cert-manager's."""
        return True
