"""What the store keeps of checks, as values over time: the load that was, not the one of this minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from opsbook.book.system import System
from opsbook.store import rollups
from opsbook.store.database import reading
from opsbook.store.history import history

DAY = 86400.0
FEWEST = 50
"""Values of a check below which a percentile says nothing."""


@dataclass(frozen=True)
class Observed:
    """Values of a check: the mean and the greatest of each span of time."""

    check: str
    means: tuple[float, ...]
    greatest: float
    seconds: float
    """From the first to the last."""

    @property
    def count(self) -> int:
        return len(self.means)


@dataclass(frozen=True)
class History:
    """The stored results of one system, looked back from `now`."""

    store: Engine
    system: System
    now: float

    def of(self, component: str, observation: str, days: float = 30) -> Observed | None:
        """The check of this observation of a component that was measured longest; None where none was."""
        checks = [one for one in self.system.checks if (one.of, one.observe) == (component, observation)]
        found = [one for check in checks if (one := self._observed(check.id, self.now - days * DAY)) is not None]
        return max(found, key=lambda one: one.seconds, default=None)

    def _observed(self, check: str, since: float) -> Observed | None:
        """Five-minute figures where the watch made them, and the single results after the last of them."""
        where = {"system": self.system.model.system, "environment": self.system.name}
        with reading(self.store) as connection:
            spans = rollups.figures(connection, where, check, rollups.FIVE_MINUTES, since, self.now)
        rolled = [(one.start, one.mean, one.most) for one in spans if one.mean is not None and one.most is not None]
        after = rolled[-1][0] + rollups.FIVE_MINUTES if rolled else since
        points = history(self.store, where["system"], where["environment"], check, after)
        rolled += [(one.at, one.value, one.value) for one in points if one.value is not None]
        if not rolled:
            return None
        return Observed(check, tuple(mean for _, mean, _ in rolled), max(most for _, _, most in rolled),
                        rolled[-1][0] - rolled[0][0])  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed (nearest rank). Raises ValueError for none."""
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    return ranked[max(0, -(-int(share * 1000) * len(ranked) // 1000) - 1)]
