"""A book as it is in one environment: what the environment says differs takes the place of what the book says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opsbook.book.environments import Environment
from opsbook.book.positions import Located, Path

BY_NAME = ("components",)
BY_ID = ("checks", "backups")
WHOLE = ("channels", "deploys")


def overrides(environment: Environment) -> bool:
    """Whether anything differs there."""
    return bool(
        environment.components
        or environment.checks
        or environment.backups
        or environment.deploys
        or environment.channels
        or environment.escalation is not None
    )


def merged(data: Mapping[str, Any], environment: Environment) -> dict[str, Any]:
    """The data of a valid book with what differs in the environment, key by key."""
    result = dict(data)
    for section in BY_NAME:
        own = getattr(environment, section)
        result[section] = {name: _over(one, own.get(name)) for name, one in data[section].items()}
    for section in BY_ID:
        own = getattr(environment, section)
        result[section] = [_over(one, own.get(one.get("id"))) for one in data.get(section) or ()]
    for section in WHOLE:
        if own := getattr(environment, section):
            result[section] = {**(data.get(section) or {}), **own}
    if environment.escalation is not None:
        written = environment.model_dump(mode="json", include={"escalation"}, by_alias=True, exclude_unset=True)
        result["escalation"] = written["escalation"]
    return result


def _over(one: Any, own: Mapping[str, object] | None) -> Any:
    return {**one, **own} if own and isinstance(one, dict) else one


class Overridden(Located):
    """Places in merged data: a key that differs is found where the environment says it."""

    def __init__(self, located: Located, name: str, environment: Environment) -> None:
        super().__init__(located.data, located.keys, located.values)
        self._sources: dict[Path, Path] = {}
        here: Path = ("environments", name)
        for component, keys in environment.components.items():
            self._move(("components", component), (*here, "components", component), keys)
        for section in BY_ID:
            order = [one.get("id") for one in located.data.get(section) or ()]
            for identity, keys in getattr(environment, section).items():
                if identity in order:
                    self._move((section, order.index(identity)), (*here, section, identity), keys)
        for section in WHOLE:
            self._move((section,), (*here, section), getattr(environment, section))
        if environment.escalation is not None:
            self._sources[("escalation",)] = (*here, "escalation")

    def source(self, path: Sequence[str | int]) -> Path:
        """The path in the file of a path in merged data."""
        whole = tuple(path)
        for end in range(len(whole), 0, -1):
            if whole[:end] in self._sources:
                return (*self._sources[whole[:end]], *whole[end:])
        return whole

    def _move(self, target: Path, source: Path, keys: Mapping[str, object]) -> None:
        for key in keys:
            self._sources[(*target, key)] = (*source, key)
