"""Prometheus and Alertmanager, where they are installed."""

from __future__ import annotations

from stack import binaries
from stack.instance import Instance
from stack.rendering import render, write

PROMETHEUS = ("prometheus",)
ALERTMANAGER = ("prometheus-alertmanager", "alertmanager")


def programs() -> dict[str, str]:
    """Those of `prometheus` and `alertmanager` that are installed, with their paths."""
    found = {"prometheus": binaries.find(*PROMETHEUS), "alertmanager": binaries.find(*ALERTMANAGER)}
    return {name: path for name, path in found.items() if path}


def configure(instance: Instance) -> None:
    """Write the configuration. Rules and routes are left alone once they exist: they belong to those who operate."""
    folder = instance.folder("etc") / "prometheus"
    folder.mkdir(exist_ok=True)
    ports = {name: instance.port(name) for name in ("api", "prometheus", "alertmanager")}
    write(folder / "prometheus.yml", render("prometheus.yml", **ports, green=instance.port("api-green")))
    for name in ("rules.yml", "alertmanager.yml"):
        if not (folder / name).exists():
            write(folder / name, render(name))
