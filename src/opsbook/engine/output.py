"""The output of steps on its way to the store: secrets masked, bounded, at most a few writes a second.

The first HEAD and the last TAIL characters of each step are kept; what is between is counted. A step that prints a
gigabyte costs neither memory nor the store.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert

from opsbook.clock import Clock
from opsbook.connectors.change import Json
from opsbook.store.tables import output

HEAD = 64 * 1024
TAIL = 256 * 1024
PIECE = 16 * 1024
FLUSH_SECONDS = 0.25
MASK = "***"
SHORTEST_SECRET = 4
"""Shorter values are words of every text; masking them would hide everything and protect nothing."""


class Mask:
    """Replaces secrets in a stream of text, also where one is cut by the border of two pieces."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._held = ""
        self.secrets: list[str] = []
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """Further secrets, from the next text on."""
        known = {one for one in (*self.secrets, *secrets) if len(one) >= SHORTEST_SECRET}
        # Longest first, so that no part of a secret is left of one that another begins.
        self.secrets = sorted(known, key=lambda one: (-len(one), one))
        self._pattern = re.compile("|".join(map(re.escape, self.secrets)) or r"(?!)")

    def feed(self, text: str) -> str:
        """The text that is safe to show now. What may be the beginning of a secret is held back."""
        text = self._held + text
        shown: list[str] = []
        at = 0
        beginnings = self._beginnings(text)
        present = any(secret in text for secret in self.secrets)
        while True:
            found = self._pattern.search(text, at) if present else None
            held = next((place for place in beginnings if place >= at), len(text))
            if found is None or held <= found.start():
                # Also where a shorter secret is complete: it may be the beginning of a longer one.
                self._held = text[held:]
                return "".join([*shown, text[at:held]])
            shown += [text[at : found.start()], MASK]
            at = found.end()

    def flush(self) -> str:
        """What was held back: nothing more comes."""
        text, self._held = self._held, ""
        return self.whole(text)

    def whole(self, text: str) -> str:
        """A text at hand, masked."""
        return self._pattern.sub(MASK, text)

    def plain(self, value: Json) -> Json:
        """Plain data, its texts and names masked."""
        if not self.secrets:
            return value
        if isinstance(value, str):
            return self.whole(value)
        if isinstance(value, dict):
            return {self.whole(str(key)): self.plain(one) for key, one in value.items()}
        return [self.plain(one) for one in value] if isinstance(value, list | tuple) else value

    def _beginnings(self, text: str) -> list[int]:
        """The places from which the rest of the text is the beginning of a secret, and not all of it."""
        longest = len(self.secrets[0]) - 1 if self.secrets else 0
        places = range(max(0, len(text) - longest), len(text))
        rests = ((place, text[place:]) for place in places)
        return [place for place, rest in rests if any(one.startswith(rest) and one != rest for one in self.secrets)]


@dataclass(eq=False)
class _Piece:
    start: int
    at: float
    text: str
    tail: bool
    stored: bool = False


class StepOutput:
    """The sink of one step of a run. `write` is what executors call; `take` gives what is to be stored."""

    def __init__(self, run: str, step: str, mask: Mask, clock: Clock) -> None:
        self.run, self.step, self.mask, self.clock = run, step, mask, clock
        self.total = 0
        self.wanted = asyncio.Event()
        """Set while there is something to store."""
        self._kept = True
        self._head_size = 0
        self._fresh: deque[_Piece] = deque()
        self._tail: deque[_Piece] = deque()
        self._tail_size = 0
        self._dropped_upto = 0

    def keep_nothing(self) -> None:
        """The step is sensitive: its output is neither shown nor stored."""
        self._kept = False

    async def write(self, text: str) -> None:
        """Take output. A flood gives others their turn."""
        if self._kept:
            self._keep(self.mask.feed(text))
            self.wanted.set()
        await asyncio.sleep(0)

    def end(self) -> None:
        """The step is over: what was held back for masking is output too."""
        self._keep(self.mask.flush())

    def take(self) -> list[Callable[[Connection], object]]:
        """The writes that bring the store up to date; each piece is given once."""
        writes: list[Callable[[Connection], object]] = []
        if self._dropped_upto:
            gone = (output.c.run == self.run) & (output.c.step == self.step) & output.c.tail
            removal = delete(output).where(gone & (output.c.start < self._dropped_upto))
            writes.append(lambda connection: connection.execute(removal))
            self._dropped_upto = 0
        rows = [
            {"run": self.run, "step": self.step, "tail": one.tail, "start": one.start, "at": one.at, "text": one.text}
            for one in self._fresh
        ]
        for piece in self._fresh:
            piece.stored = True
        self._fresh.clear()
        self.wanted.clear()
        if rows:
            writes.append(lambda connection: connection.execute(insert(output), rows))
        return writes

    def _keep(self, text: str) -> None:
        # A NUL cannot be stored as text by PostgreSQL; it has no meaning to a reader either.
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
        at = 0
        while at < len(text):
            if self._head_size < HEAD:
                part = text[at : at + min(PIECE, HEAD - self._head_size)]
                self._head_size += len(part)
                self._add(part, tail=False)
            else:
                # Of a flood only the end can stay in the tail.
                skipped = max(0, len(text) - at - TAIL)
                self.total += skipped
                at += skipped
                part = text[at : at + PIECE]
                self._add(part, tail=True)
                self._drop()
            at += len(part)

    def _add(self, part: str, *, tail: bool) -> None:
        last = self._fresh[-1] if self._fresh else None
        if last and last.tail == tail and last.start + len(last.text) == self.total and len(last.text) < PIECE:
            last.text += part
        else:
            piece = _Piece(self.total, self.clock.now().timestamp(), part, tail)
            self._fresh.append(piece)
            if tail:
                self._tail.append(piece)
        self._tail_size += len(part) if tail else 0
        self.total += len(part)

    def _drop(self) -> None:
        while self._tail_size - len(self._tail[0].text) >= TAIL:
            old = self._tail.popleft()
            self._tail_size -= len(old.text)
            if old.stored:
                self._dropped_upto = old.start + len(old.text)
            else:
                self._fresh.remove(old)
