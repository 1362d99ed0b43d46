"""A map of HAProxy, whose entries are set in the process that runs: no reload, no connection is cut.

The file is what HAProxy reads when it starts (`use_backend %[path,map_beg(FILE)]`, lines of key and value); the same
entries are set by its runtime API (management guide, 9.3 "Unix Socket commands": `set map`, `add map`, `show map`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.names import system_words
from opsbook.errors import Unreachable

ANSWER_SECONDS = 10.0
LONGEST_ANSWER = 1 << 20
UNSAYABLE = " \t;\\"
"""What means something to the runtime API itself: it parts words and commands by them."""


@dataclass(frozen=True)
class HaproxyMap:
    """One map, by the name under which HAProxy knows it, and the socket of its runtime API at level `admin`."""

    socket: Path
    name: str
    sides: tuple[Path, ...] = ()
    """The files of both sides: a key that none of them has is somebody else's, and stays."""

    async def take(self, content: bytes) -> None:
        """Set each entry and see that all hold. Raises ChangeFailed with HAProxy's words, Unreachable."""
        wanted = entries(content.decode(errors="replace"))
        if odd := [key for key, value in wanted.items() if set(f"{key}{value}") & set(UNSAYABLE)]:
            raise ChangeFailed(f"the entry {odd[0]} of {self.name} cannot be told to HAProxy while it runs",
                               "write it without spaces, `;` and backslashes")  # fmt: skip
        there = entries(await self._ask(f"show map {self.name}"), numbered=True)
        for key, value in wanted.items():
            if there.get(key) != value:
                said = await self._ask(f"{'set' if key in there else 'add'} map {self.name} {key} {value}")
                if said.strip():
                    raise ChangeFailed(f"HAProxy: {said.strip()}", "is its map named as `haproxy.map` says?")
        # What only the other side's file has would go on leading there, until HAProxy starts anew.
        for key in there.keys() & await asyncio.to_thread(self._known) - wanted.keys():
            await self._ask(f"del map {self.name} {key}")
        there = entries(await self._ask(f"show map {self.name}"), numbered=True)
        if lacking := [key for key, value in wanted.items() if there.get(key) != value]:
            raise ChangeFailed(f"HAProxy did not take the entry {lacking[0]} of {self.name}", "look at its own log")

    def _known(self) -> set[str]:
        """The keys of the sides' files."""
        return {key for one in self.sides if one.exists() for key in entries(one.read_text(errors="replace"))}

    async def _ask(self, command: str) -> str:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(self.socket))
                try:
                    writer.write(command.encode() + b"\n")
                    await writer.drain()
                    said = (await reader.read(LONGEST_ANSWER)).decode(errors="replace")
                    while more := await reader.read(LONGEST_ANSWER):
                        said += more.decode(errors="replace")
                finally:
                    writer.close()
        except OSError as error:
            raise Unreachable(
                f"HAProxy's socket {self.socket} does not answer: {system_words(error)}",
                "is HAProxy running, with `stats socket … level admin`?",
            ) from error
        if said.startswith(("Unknown ", "Permission denied", "Missing ")):
            raise ChangeFailed(f"HAProxy: {said.strip().splitlines()[0]}", "check `haproxy` of the proxy")
        return said


def entries(text: str, *, numbered: bool = False) -> dict[str, str]:
    """Key → value of a map as it is written, or as `show map` tells it: with a number before each."""
    found = {}
    for line in text.splitlines():
        words = line.split(maxsplit=2 if numbered else 1)[1 if numbered else 0 :]
        if len(words) == 2 and not line.lstrip().startswith("#"):
            found[words[0]] = words[1].strip()
    return found
