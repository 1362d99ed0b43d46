"""Secrets in files: replaced at once and whole; owner and mode stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors.file import alone, replace_file
from opsbook.connectors.held.contract import PRIVATE
from opsbook.errors import Refused

WRITING = "????????.new"
"""What ends the name of a file that is being written, as `replace_file` names it."""


@dataclass(frozen=True)
class InFile:
    """A file that is it."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    async def read(self) -> bytes | None:
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Refused(f"{self.path}: {error.strerror}", "check its permissions") from error

    async def change(self, make: Callable[[bytes | None], bytes], mode: int = PRIVATE) -> None:
        await asyncio.to_thread(self._change, make, mode)

    def _change(self, make: Callable[[bytes | None], bytes], mode: int) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path):
                self._tidy()
                before = self._read()
                after = make(before)
                if after != before:
                    replace_file(self.path, after, mode)
        except OSError as error:
            raise ChangeFailed(f"{self.path}: {error.strerror}", "check its folder, permissions and space") from error

    async def remove(self) -> None:
        try:
            await asyncio.to_thread(self._remove)
        except OSError as error:
            raise ChangeFailed(f"{self.path}: {error.strerror}", "check its folder and permissions") from error

    def _remove(self) -> None:
        if self.path.parent.is_dir():
            with alone(self.path):
                self._tidy()
                self.path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """What a process that was killed had written and not put in its place: a copy of a secret that nobody reads."""
        for left in self.path.parent.glob(f".{escape(self.path.name)}.{WRITING}"):
            left.unlink(missing_ok=True)

    def beside(self, what: str) -> InFile:
        return InFile(self.path.with_name(f".{self.path.name}.{what}"))
