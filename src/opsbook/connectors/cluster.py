"""The cluster itself as a component: its nodes, autoscalers, volumes, certificates, and what may be done in it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.book.system import System
from opsbook.connectors.contract import Connector
from opsbook.connectors.etcd import EtcdAccess
from opsbook.connectors.registry import connector
from opsbook.connectors.runtimes.contract import Runtime, Unsupported
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.errors import Absent


class ClusterComponent(Component):
    """The cluster and the namespace of this environment, as its `runtime` names them."""

    kind: Literal["cluster"]
    etcd: EtcdAccess | None = Field(None, description="where its objects are kept, for snapshots of it")


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


def etcd_of(system: System, component: str) -> EtcdAccess:
    """Where the etcd of a cluster is. Raises Absent where the book does not say."""
    found = system.components[component]
    if isinstance(found, ClusterComponent) and found.etcd is not None:
        return found.etcd
    raise Absent(f"the book does not say where the etcd of {component} is", f"set `etcd` of {component} in book.yaml")
