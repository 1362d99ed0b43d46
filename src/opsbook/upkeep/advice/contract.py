"""One piece of advice, and what it is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Needs = Literal["reload", "restart", "deploy", "book"]
"""What makes it hold: the server reads it anew, is started anew, pods are replaced, or a person changes the book."""
MEBI, GIBI = 1 << 20, 1 << 30
ALIKE = 0.2
"""Advice that differs by less than this share from what is set says nothing that could be measured."""


@dataclass(frozen=True)
class Advice:
    """One value that should be another."""

    component: str
    name: str
    """The setting, as its server names it; of one table: `setting of schema.table`."""
    now: str
    advised: str
    why: str
    """The figures that were measured."""
    source: str
    """The page of the official documentation that the rule is from."""
    needs: Needs
    risk: str
    applied: bool = True
    """Whether `tune-COMPONENT` (or `resize-COMPONENT`) can make it so."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Advised:
    """All that is said of a component. `untold` are sentences on what could not be judged, and why."""

    component: str
    of: str
    """What was looked at: postgres, redis, pgbouncer, workers, resources, autoscaler."""
    advice: tuple[Advice, ...] = ()
    told: tuple[str, ...] = ()
    """What is so, in sentences."""
    untold: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        said = {"component": self.component, "of": self.of, "told": list(self.told), "untold": list(self.untold)}
        return {**said, "advice": [one.as_json() for one in self.advice]}


@dataclass(frozen=True)
class Machine:
    """What a server may count on. Bytes and cores; None where nobody could tell."""

    memory: float | None
    cores: float | None
    others: float = 0.0
    """Bytes that other processes of the same machine use now."""
    told: str = ""
    flash: bool = False
    """Whether its data lie on a disk that says it does not turn. One that says it does may be virtual: no knowledge."""

    @property
    def share(self) -> float | None:
        """Memory that is left to this server beside the others; never less than a quarter of all."""
        return None if self.memory is None else max(self.memory - self.others, self.memory / 4)


def size(number: float) -> str:
    """Bytes for people, in powers of 1024 as servers count them."""
    for unit, name in ((GIBI, "GiB"), (MEBI, "MiB"), (1 << 10, "KiB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}" if number < 1000 * unit else f"{number / unit:,.0f} {name}"
    return f"{number:.0f} B"


def near(now: float, advised: float, alike: float = ALIKE) -> bool:
    """Whether a change would be smaller than what was measured can tell."""
    return abs(now - advised) <= alike * max(abs(now), abs(advised))


def round_size(number: float) -> float:
    """Down to two leading binary digits of a MiB, as people write sizes: 96 MB, 128 MB, 192 MB, 256 MB."""
    unit = float(MEBI)
    if number <= unit:
        return unit
    while unit * 2 <= number:
        unit *= 2
    return unit * 1.5 if unit * 1.5 <= number and unit > MEBI else unit
