"""The cluster itself as a component: its nodes, autoscalers, volumes, certificates, and what may be done in it."""

from __future__ import annotations

from typing import Literal

from opsbook.book.catalogue import Component
from opsbook.connectors.contract import Connector
from opsbook.connectors.registry import connector
from opsbook.connectors.runtimes.contract import Runtime, Unsupported
from opsbook.connectors.runtimes.kubernetes import Kubernetes


class ClusterComponent(Component):
    """The cluster and the namespace of this environment, as its `runtime` names them."""

    kind: Literal["cluster"]


@connector(ClusterComponent)
class ClusterConnector(Connector):
    """Nothing is opened; the runtime answers."""

    @property
    def kubernetes(self) -> Kubernetes:
        """The runtime. Raises Unsupported where it is another one."""
        return kubernetes_of(self.connections.runtime)


def kubernetes_of(runtime: Runtime) -> Kubernetes:
    """The runtime as Kubernetes. Raises Unsupported."""
    if isinstance(runtime, Kubernetes):
        return runtime
    raise Unsupported("this environment has no Kubernetes", "set `runtime` of the environment in book.yaml")
