"""`scaling` of the book applied to a cluster, as a procedure for each component that it names."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.book.delivery import Amounts, Scaling
from opsbook.book.environments import KubernetesRuntime
from opsbook.book.system import System
from opsbook.connectors.workload import workload_of
from opsbook.errors import Absent
from opsbook.upkeep.templates import filled

LIMITS = """\
1. Set what an instance is guaranteed and may use at most. Its pods are replaced one by one.

   ```op id=limits timeout=30m
   workload.limits: {of: @component@, @figures@}
   ```
"""
BOUNDS = """\
@number@. Let its autoscaler keep to the bounds of the book.

   ```op id=bounds timeout=30m
   autoscaler.set: {of: @component@, @figures@}
   ```
"""


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each, where the environment's runtime has limits and autoscalers to set."""
    if not isinstance(system.environment.runtime, KubernetesRuntime):
        return
    for component, scaling in system.model.scaling.items():
        try:
            workload_of(system, component)
        except Absent:
            continue
        steps = []
        if limits := limits_of(scaling):
            steps.append(_step(LIMITS, component, limits))
        if bounds := bounds_of(scaling):
            steps.append(_step(BOUNDS, component, bounds).replace("@number@", str(len(steps) + 1)))
        if steps:
            risk = "disruptive" if limits else "safe"
            text = filled("apply-scaling", component=component, risk=risk, steps="\n".join(steps))
            yield f"apply-scaling-{component}", text


def limits_of(scaling: Scaling) -> dict[str, str]:
    """Parameters of `workload.limits`; empty where the book has no figure."""
    said = {"request": scaling.requests, "limit": scaling.limits}
    figures: dict[str, str] = {}
    for word, amounts in said.items():
        figures |= {f"cpu_{word}": amounts.cpu, f"memory_{word}": _bytes(amounts)}
    return {name: value for name, value in figures.items() if value}


def bounds_of(scaling: Scaling) -> dict[str, str]:
    """Parameters of `autoscaler.set`; empty where nothing says that an autoscaler holds the component.

    An aim (`cpu`, `memory`) says so: without one, `min` and `max` only bound what is scaled by hand.
    """
    if scaling.cpu is None and scaling.memory is None:
        return {}
    bounds = {"least": scaling.min, "most": scaling.max}
    return {name: str(value) for name, value in bounds.items() if value}


def _bytes(amounts: Amounts) -> str:
    # Kubernetes knows no B, and writes the decimal thousand small.
    text = amounts.memory.removesuffix("B")
    return text[:-1] + "k" if text.endswith("K") else text


def _step(template: str, component: str, figures: dict[str, str]) -> str:
    written = ", ".join(f"{name}: {value}" if value.isdigit() and name in ("least", "most") else f'{name}: "{value}"'
                        for name, value in figures.items())  # fmt: skip
    return template.replace("@component@", component).replace("@figures@", written)
