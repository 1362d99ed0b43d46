"""One command in a container of its own, made of a workload as the runtime holds it, with the image of a version.

It is there for what belongs to a version and not to this host: its migrations. It gets no traffic, and is removed when
it has ended. Two of one name never run at the same time; who comes again with the same key awaits the one that runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opsbook.connectors.change import Sink
from opsbook.connectors.runtimes.contract import Runtime, Unsupported

LONGEST_SAID = 4 << 20
"""Characters of its output that are read: a migration as SQL is far shorter."""


@dataclass(frozen=True)
class Once:
    """What is run."""

    name: str
    key: str
    workload: str
    version: str
    argv: Sequence[str]
    timeout: float
    env: Mapping[str, str] = field(default_factory=dict)
    """Further variables; no secrets: the API server keeps them."""
    folder: str = ""
    """Where it is run, in the container; the image's own where empty."""


@dataclass(frozen=True)
class Ran:
    """How it ended. `exit` is None where it was ended from outside: at its time, or with its node."""

    exit: int | None
    said: str


async def run_once(runtime: Runtime, wanted: Once, out: Sink) -> Ran:
    """Run it to its end. Raises Refused where another of its name runs, ChangeFailed where it cannot be started."""
    from opsbook.connectors.runtimes import compose_once, kubernetes_once
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

    if isinstance(runtime, Kubernetes):
        return await kubernetes_once.run(runtime, wanted, out)
    if isinstance(runtime, Compose):
        return await compose_once.run(runtime, wanted, out)
    raise Unsupported("this runtime makes no containers", "leave `inside` of `deploys.migrations` out")


async def end_once(runtime: Runtime, name: str, key: str) -> bool:
    """End and remove it, where it is of this key. True when nothing of it runs any more."""
    from opsbook.connectors.runtimes import compose_once, kubernetes_once
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

    if isinstance(runtime, Kubernetes):
        return await kubernetes_once.end(runtime, name, key)
    if isinstance(runtime, Compose):
        return await compose_once.end(runtime, name, key)
    return True
