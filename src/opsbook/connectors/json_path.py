"""Paths into JSON answers: `data.items[0].age`, `services."api.main".status`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from opsbook.connectors.contract import ReadFailed

_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"]+)"|(?P<key>[^.\[\]"]+)|\[(?P<index>-?\d+)\])')


@dataclass(frozen=True)
class JsonPath:
    """Steps from the top of a document: keys, and positions in lists."""

    text: str
    steps: tuple[str | int, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Raises ValueError that shows a valid path."""
        steps: list[str | int] = []
        position = 0
        while position < len(text):
            match = _STEP.match(text, position)
            if not match:
                raise ValueError(f"{text!r} is not a path; write data.items[0].age")
            steps.append(int(match["index"]) if match["index"] else match["quoted"] or match["key"])
            position = match.end()
        if not steps:
            raise ValueError("a path is missing; write data.items[0].age")
        return cls(text, tuple(steps))

    def of(self, document: Any) -> Any:
        """The value there. Raises ReadFailed that names the step that is missing and what is there in its place."""
        value = document
        for n, step in enumerate(self.steps):
            try:
                if isinstance(value, dict) and not isinstance(step, int):
                    value = value[step]
                    continue
                if isinstance(value, list) and isinstance(step, int):
                    value = value[step]
                    continue
            except (KeyError, IndexError):
                pass
            before = ".".join(map(str, self.steps[:n])) or "the answer"
            raise ReadFailed(f"there is no {step!r} in {before}, which is {_shape(value)}")
        return value


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        keys = ", ".join(map(str, list(value)[:8]))
        return f"an object with {keys}" if keys else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"the {type(value).__name__} {str(value)[:40]!r}"
