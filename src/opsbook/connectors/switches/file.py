"""A file that a proxy reads: it is always a copy of SWITCH.blue or SWITCH.green beside it, which the team writes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors.file import replace_file
from opsbook.connectors.sides import SIDES, Side
from opsbook.errors import Refused


class Reload(Protocol):
    """How a proxy comes to read its file again."""

    async def take(self, content: bytes) -> None:
        """Let it serve by the file as it is now. Raises ChangeFailed, Refused, Unreachable."""
        ...


@dataclass(frozen=True)
class FileSwitch:
    """The file, and the proxy that reads it."""

    path: Path
    reload: Reload

    def file(self, side: Side) -> Path:
        """What the proxy reads while this side is active."""
        return self.path.with_name(f"{self.path.name}.{side}")

    async def active(self) -> Side:
        """Raises Refused where the file is neither's."""
        return await asyncio.to_thread(self._active)

    def _active(self) -> Side:
        try:
            now = self.path.read_bytes()
            for side in SIDES:
                if self.file(side).read_bytes() == now:
                    return side
        except OSError as error:
            raise Refused(f"{error.filename}: {error.strerror}", "write it: what the proxy reads for a side") from error
        raise Refused(
            f"{self.path} is neither {self.file('blue').name} nor {self.file('green').name}",
            "copy the one that is active over it",
        )

    async def send(self, side: Side) -> None:
        """The file is replaced in one piece; then the proxy takes it."""
        try:
            content = await asyncio.to_thread(self.file(side).read_bytes)
            await asyncio.to_thread(replace_file, self.path, content, 0o644)
        except OSError as error:
            raise ChangeFailed(f"{error.filename}: {error.strerror}", "check its folder and permissions") from error
        await self.reload.take(content)

    async def told(self, side: Side) -> Mapping[str, Any]:
        """The file and its copy."""
        return {"file": str(self.path), "copy of": self.file(side).name}
