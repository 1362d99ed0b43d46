"""Which switch a component has, by what the book says of it."""

from __future__ import annotations

from opsbook.book.delivery import Deploy
from opsbook.connectors.contract import Connections
from opsbook.connectors.http import ProxyComponent
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.sides import Switch
from opsbook.connectors.switches.file import FileSwitch, Reload
from opsbook.connectors.switches.haproxy import HaproxyMap
from opsbook.connectors.switches.nginx import MasterProcess, ProxyWorkload
from opsbook.connectors.switches.service import ServiceSwitch
from opsbook.errors import Refused


def switch_of(connections: Connections, component: str, found: Deploy) -> Switch:
    """Raises Refused with what lacks."""
    if found.service:
        runtime = connections.runtime
        if not isinstance(runtime, Kubernetes):
            raise Refused(
                f"{component} is switched by the service {found.service}, and this environment has no Kubernetes",
                f"set `service: ''` and `switch` of `deploys.components.{component}` in this environment",
            )
        return ServiceSwitch(runtime, found.service, {"blue": found.blue, "green": found.green})
    if not (found.switch and found.proxy):
        raise Refused(
            f"the book does not say what switches {component}",
            f"set `switch` and `proxy`, or `service`, in `deploys.components.{component}`",
        )
    return FileSwitch(connections.system.path(found.switch), _reload(connections, found.proxy, found.switch))


def _reload(connections: Connections, name: str, switch: str) -> Reload:
    proxy, system = connections.system.components[name], connections.system
    if isinstance(proxy, ProxyComponent):
        if proxy.haproxy is not None:
            return HaproxyMap(system.path(proxy.haproxy.socket), proxy.haproxy.map or str(system.path(switch)))
        if proxy.reload is not None:
            return ProxyWorkload(connections, name, proxy.reload)
        if proxy.maintenance is not None and proxy.maintenance.pid_file:
            return MasterProcess(system, proxy.maintenance)
    raise Refused(
        f"{name} cannot be told to read its files again",
        "set its `maintenance` (pid file and check), its `reload` (commands in its workload) or its `haproxy`",
    )
