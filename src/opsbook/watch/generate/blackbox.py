"""What blackbox_exporter probes for the book's checks: modules for it, and a target of its own for each check.

A module says how to probe, a target what. Labels of a target are `check` and `component`, by which the rules find it.
Headers that are secrets and addresses that hold a password cannot be written down: opsbook itself reads those.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from opsbook.book.catalogue import Component
from opsbook.book.checks import Check
from opsbook.book.references import MissingSecret, Reference
from opsbook.book.system import System
from opsbook.connectors.dns import DnsComponent
from opsbook.connectors.http import HttpSettings
from opsbook.connectors.http_client import what_is_wrong
from opsbook.connectors.tcp import TcpComponent
from opsbook.connectors.tls import TlsComponent, split_address
from opsbook.watch.generate.exporters import TABLE, seen_by
from opsbook.watch.generate.names import where
from opsbook.watch.generate.options import Places
from opsbook.watch.generate.yaml_text import block

BEARER = "Bearer "


class Unsuited(Exception):
    """A check that blackbox_exporter cannot make, and why."""


@dataclass(frozen=True)
class Probe:
    """A check as blackbox_exporter makes it."""

    check: Check
    module: str
    settings: dict[str, Any]
    target: str


def probes(system: System, secrets: str) -> tuple[list[Probe], dict[str, str]]:
    """The probes of an environment, and why other checks of the kind have none."""
    found: list[Probe] = []
    lacking: dict[str, str] = {}
    modules: dict[str, str] = {}
    for check in system.checks:
        if seen_by(check, frozenset({"blackbox"})) is None:
            continue
        try:
            settings, target = _probe(system, check, secrets)
        except (Unsuited, MissingSecret) as error:
            lacking[check.id] = getattr(error, "message", str(error))
            continue
        text = json.dumps(settings, sort_keys=True)
        name = modules.setdefault(text, f"{settings['prober']}-{check.id}")
        found.append(Probe(check, name, settings, target))
    return found, lacking


def modules_text(system: System, places: Places) -> str:
    """The configuration of blackbox_exporter."""
    found, lacking = probes(system, places.secrets)
    head = [_made(system), *(f"Left out: {check}: {reason}" for check, reason in lacking.items())]
    return _comment(head) + block({"modules": {one.module: one.settings for one in found}})


def scrape_text(system: System, places: Places) -> str:
    """The scrape configuration of Prometheus: opsbook's own metrics, and a probe for each check."""
    address = urlsplit(places.opsbook)
    own: dict[str, Any] = {
        "job_name": "opsbook",
        "scheme": address.scheme or "http",
        "honor_labels": True,  # its series say themselves which system and component they are of
        "authorization": {"type": "Bearer", "credentials_file": places.scrape_token_file},
        "static_configs": [{"targets": [address.netloc]}],
    }
    found, _ = probes(system, places.secrets)
    jobs = [own, *([_job(system, found, places)] if found else [])]
    return _comment([_made(system)]) + block({"scrape_configs": jobs})


def _job(system: System, found: list[Probe], places: Places) -> dict[str, Any]:
    here = where(system)
    targets = [
        {
            "targets": [one.target],
            "labels": {"check": one.check.id, "component": one.check.of, **here, "__param_module": one.module},
        }
        for one in found
    ]
    relabel = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": places.blackbox},
    ]
    return {
        "job_name": "opsbook-blackbox",
        "metrics_path": "/probe",
        "static_configs": targets,
        "relabel_configs": relabel,
    }


def _probe(system: System, check: Check, secrets: str) -> tuple[dict[str, Any], str]:
    component = system.components[check.of]
    subject = check.observe.partition(".")[0]
    return _PROBERS[subject](system, check, component, secrets)


def _http(system: System, check: Check, component: Component, secrets: str) -> tuple[dict[str, Any], str]:
    assert isinstance(component, HttpSettings)
    if component.address:
        raise Unsuited("its `address` is another one than its URL's")
    url = _public(system.resolve(component.url)).rstrip("/")
    path = str(check.with_.get("path", component.health))
    http: dict[str, Any] = {"follow_redirects": False}
    headers: dict[str, str] = {}
    for name, value in component.headers.items():
        if name.lower() == "authorization" and value.text.startswith(BEARER):
            http["authorization"] = {"type": "Bearer", "credentials_file": f"{secrets}/{check.of}"}
        elif value.refers:
            raise Unsuited(f"its header {name} is a secret")
        else:
            headers[name] = value.text
    if headers:
        http["headers"] = headers
    if tls := _tls_config(system, component.ca, component.insecure):
        http["tls_config"] = tls
    target = path if path.startswith(("http://", "https://")) else url + path
    return {"prober": "http", "http": http}, target


def _tcp(system: System, _check: Check, component: Component, _secrets: str) -> tuple[dict[str, Any], str]:
    assert isinstance(component, TcpComponent)
    return {"prober": "tcp"}, system.resolve(component.address)


def _tls(system: System, check: Check, component: Component, _secrets: str) -> tuple[dict[str, Any], str]:
    if isinstance(component, HttpSettings):
        url = system.resolve(component.url)
        if wrong := what_is_wrong(url):
            raise Unsuited(f"its `url` is not an address: {wrong}")
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise Unsuited("it is not served over TLS")
        host, port, name = parts.hostname, parts.port or 443, parts.hostname
    elif isinstance(component, TlsComponent):
        host, port = split_address(system.resolve(component.address))
        name = component.server_name or host
    else:
        raise Unsuited("its address is not known")
    # An expiry is seen whoever signed it; whether the chain is trusted is another check's question.
    trusts = check.observe == "tls.chain_valid"
    settings = {**_tls_config(system, getattr(component, "ca", ""), not trusts), "server_name": name}
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return {"prober": "tcp", "tcp": {"tls": True, "tls_config": settings}}, target


def _dns(system: System, _check: Check, component: Component, _secrets: str) -> tuple[dict[str, Any], str]:
    assert isinstance(component, DnsComponent)
    if not component.resolver:
        raise Unsuited("it names no `resolver`, and blackbox_exporter asks the one that is its target")
    dns: dict[str, Any] = {"query_name": component.name, "query_type": "A"}
    if component.expected:
        addresses = "|".join(re.escape(system.resolve(Reference(one))) for one in component.expected)
        dns["validate_answer_rrs"] = {"fail_if_not_matches_regexp": [f".*\\s({addresses})$"]}
    return {"prober": "dns", "dns": dns}, component.resolver


_PROBERS: dict[str, Callable[[System, Check, Component, str], tuple[dict[str, Any], str]]] = {
    "http": _http,
    "tcp": _tcp,
    "tls": _tls,
    "dns": _dns,
}
assert {name.partition(".")[0] for name, seen in TABLE.items() if seen.exporter == "blackbox"} == set(_PROBERS)


def _tls_config(system: System, ca: str, insecure: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"ca_file": str(system.path(ca))} if ca else {}
    return {**found, **({"insecure_skip_verify": True} if insecure else {})}


def _public(url: str) -> str:
    if urlsplit(url).password:
        raise Unsuited("its address holds a password")
    return url


def _made(system: System) -> str:
    here = where(system)
    return f"Probes of {here['system']} in {here['environment']}, made by `opsbook generate blackbox`."


def _comment(lines: list[str]) -> str:
    return "".join(f"# {' '.join(line.split())}\n" for line in lines)
