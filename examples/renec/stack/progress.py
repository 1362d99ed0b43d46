"""What `up` says while it works: a line for each thing done, with the seconds it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Progress:
    quiet: bool = False
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Time a step and say it when it is done."""
        started = time.monotonic()
        yield
        self.say(f"  ✓ {what:<46} {time.monotonic() - started:5.1f} s")

    def say(self, text: str) -> None:
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began
