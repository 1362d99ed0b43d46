"""Which switch a component has, by what the book says of it."""

from __future__ import annotations

from datetime import timedelta

from opsbook.book.delivery import Deploy
from opsbook.connectors.contract import Connections
from opsbook.connectors.http import ProxyComponent
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.sides import SIDES, Side, Switch
from opsbook.connectors.switches.file import FileSwitch, Reload
from opsbook.connectors.switches.haproxy import HaproxyMap
from opsbook.connectors.switches.labels import LabelSwitch
from opsbook.connectors.switches.nginx import MasterProcess, ProxyWorkload
from opsbook.connectors.switches.service import ServiceSwitch
from opsbook.errors import Refused

NOTICED = timedelta(seconds=5)
"""What a proxy is given to notice another container where the book says no `drain`: traefik looks every two seconds."""


def switch_of(connections: Connections, component: str, found: Deploy) -> Switch:
    """Raises Refused with what lacks."""
    if found.labels:
        return _labels(connections, component, found)
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
            f"set `switch` and `proxy`, `service`, or `labels`, in `deploys.components.{component}`",
        )
    return FileSwitch(connections.system.path(found.switch), _reload(connections, found.proxy, found.switch))


def _labels(connections: Connections, component: str, found: Deploy) -> LabelSwitch:
    runtime, deploys = connections.runtime, connections.system.model.deploys
    if not isinstance(runtime, Compose):
        raise Refused(
            f"{component} is switched by labels of its containers, and this environment has no compose",
            f"set `labels: {{}}` and `switch` or `service` of `deploys.components.{component}` in this environment",
        )
    wait, drain = found.wait or deploys.wait, found.drain or deploys.drain or NOTICED
    sides: dict[Side, str] = {"blue": found.blue, "green": found.green}
    return LabelSwitch(runtime, found.labels, sides, wait.total_seconds(), drain.total_seconds())


def _reload(connections: Connections, name: str, switch: str) -> Reload:
    proxy, system = connections.system.components[name], connections.system
    if isinstance(proxy, ProxyComponent):
        if proxy.haproxy is not None:
            file = system.path(switch)
            sides = tuple(file.with_name(f"{file.name}.{side}") for side in SIDES)
            return HaproxyMap(system.path(proxy.haproxy.socket), proxy.haproxy.map or str(file), sides)
        if proxy.reload is not None:
            return ProxyWorkload(connections, name, proxy.reload)
        if proxy.maintenance is not None and proxy.maintenance.pid_file:
            return MasterProcess(system, proxy.maintenance)
    raise Refused(
        f"{name} cannot be told to read its files again",
        "set its `maintenance` (pid file and check), its `reload` (commands in its workload) or its `haproxy`",
    )
