"""Network policies read: may one pod open a connection to another, and which policy says so. Pure.

Of the pods that a policy selects, only what some policy allows passes; of others everything does. A connection needs
both sides: egress of the one, ingress of the other. kubernetes.io/docs/concepts/services-networking/network-policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Literal

from opsbook.connectors.runtimes.kubernetes_api import Object
from opsbook.connectors.runtimes.kubernetes_budgets import selects

Side = Literal["egress", "ingress"]


@dataclass(frozen=True)
class End:
    """One end of a connection."""

    name: str
    namespace: str = ""
    """Empty for what is no pod of the cluster."""
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    """The names of its ports."""


@dataclass(frozen=True)
class Ruling:
    """What the policies say."""

    allowed: bool
    sentence: str


def ruling(policies: Sequence[Object], source: End, target: End, port: int) -> Ruling:
    """Whether the source may open a TCP connection to this port (of the pod, not of its service) of the target."""
    out = _side(policies, "egress", source, target, port, target)
    into = _side(policies, "ingress", target, source, port, target)
    goal = f"{target.name}:{port}"
    for allowed, selecting, side, end in ((*out, "egress", source), (*into, "ingress", target)):
        if not allowed:
            names = ", ".join(selecting)
            way = f"egress to {goal}" if side == "egress" else f"ingress from {source.name} to port {port}"
            return Ruling(False, f"no: {names} {_selects(selecting)} {end.name}, and no rule allows {way}")
    told = [f"{side} of {end.name} by {', '.join(by)}" for (_, by), side, end in
            ((out, "egress", source), (into, "ingress", target)) if by]  # fmt: skip
    if not told:
        return Ruling(True, f"yes: no network policy selects {source.name} for egress or {target.name} for ingress")
    return Ruling(True, f"yes: allowed are {' and '.join(told)}")


def _selects(names: Sequence[str]) -> str:
    return "selects" if len(names) == 1 else "select"


def _side(
    policies: Sequence[Object], side: Side, subject: End, other: End, port: int, target: End
) -> tuple[bool, tuple[str, ...]]:
    """Whether one side lets it pass; the policies that allow it, or those that select the subject and do not."""
    selecting = [one for one in policies if _is_for(one, side, subject)]
    if not selecting:
        return True, ()
    allowing = tuple(sorted(one["metadata"]["name"] for one in selecting if _allows(one, side, other, port, target)))
    return (True, allowing) if allowing else (False, tuple(sorted(one["metadata"]["name"] for one in selecting)))


def _is_for(policy: Object, side: Side, subject: End) -> bool:
    spec = policy["spec"]
    kinds = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    if side.capitalize() not in kinds or policy["metadata"].get("namespace", subject.namespace) != subject.namespace:
        return False
    return bool(subject.namespace) and selects(spec.get("podSelector") or {}, dict(subject.labels))


def _allows(policy: Object, side: Side, other: End, port: int, target: End) -> bool:
    key = "to" if side == "egress" else "from"
    home = policy["metadata"].get("namespace", "")
    return any(_port_fits(rule, port, target) and _peer_fits(rule.get(key), other, home)
               for rule in policy["spec"].get(side) or [])  # fmt: skip


def _port_fits(rule: Object, port: int, target: End) -> bool:
    said = rule.get("ports")
    if not said:
        return True
    for one in said:
        if one.get("protocol", "TCP") != "TCP":
            continue
        wanted = one.get("port")
        if wanted is None:
            return True
        number = target.ports.get(wanted) if isinstance(wanted, str) else wanted
        if number is not None and number <= port <= one.get("endPort", number):
            return True
    return False


def _peer_fits(peers: Sequence[Object] | None, other: End, home: str) -> bool:
    return not peers or any(_peers(peers, other, home))


def _peers(peers: Sequence[Object], other: End, home: str) -> Iterator[bool]:
    for one in peers:
        if block := one.get("ipBlock"):
            yield bool(other.address) and _within(other.address, block)
            continue
        spaces, pods = one.get("namespaceSelector"), one.get("podSelector")
        if not other.namespace:
            yield False
            continue
        near = other.namespace == home if spaces is None else selects(spaces, dict(other.namespace_labels))
        yield near and (pods is None or selects(pods, dict(other.labels)))


def _within(address: str, block: Object) -> bool:
    one = ip_address(address)
    if one not in ip_network(block["cidr"], strict=False):
        return False
    return not any(one in ip_network(each, strict=False) for each in block.get("except") or [])
