"""A data folder that lies in a container: reached by a container beside the server's own, with its volumes.

Scripts are constant; what they are about comes as arguments. A password comes as a file in memory.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.postgres_folder import Line, Ran
from opsbook.connectors.runtimes.beside import OUT, Inside, Said, as_owner

KIND = 'if [ -d "$1" ]; then echo folder; elif [ -e "$1" ]; then echo file; fi'
READ = '[ -e "$1" ] || exit 44; cat -- "$1"'
NO_FILE = 44
MOVE = '[ ! -e "$2" ] || { echo "$2 is there already" >&2; exit 1; }; mv -- "$1" "$2"'
MAKE = 'mkdir -m 700 -- "$1" && chown "$(stat -c %u:%g -- "$2")" "$1"'
OWNER = 'stat -c "%u %g" -- "$1"'
SETTINGS = 'cd "$1" && for one in *.conf; do if [ -f "$one" ]; then echo "$one"; fi; done'
SYNC = 'case "$(sync --help 2>&1)" in *-f*) exec sync -f "$1" ;; *) exec sync ;; esac'
"""The file system of a path alone, where the image's `sync` knows how: another one of the node may hang."""
PROGRAM = """
data=$1 name=$2; shift 2; cd /
major=$(cat "$data/PG_VERSION") || exit 1
for folder in "/usr/lib/postgresql/$major/bin" "/usr/pgsql-$major/bin" /usr/local/bin /opt/bitnami/postgresql/bin; do
  if [ -x "$folder/$name" ]; then exec "$folder/$name" "$@"; fi
done
exec "$name" "$@"
"""
"""Debian's own links lead to the newest version that is installed, which need not be that of the data."""
PASSWORD = "/dev/shm/opsbook.pgpass"  # noqa: S105, S108  a path in memory, and of a container of our own
NO_PROGRAM = (126, 127)
QUICK_SECONDS = 60.0
LONG_SECONDS = 11 * 3600.0
"""A large database is copied for hours; the container ends by itself after a while longer."""


@dataclass(frozen=True)
class Within:
    """The file system of a container beside the server's."""

    inside: Inside
    workload: str
    apart: bool = True

    async def kind(self, path: PurePath) -> str:
        return (await self._done(f"see {path}", "sh", "-c", KIND, "sh", str(path))).out.strip()

    async def read(self, path: PurePath) -> str | None:
        said = await self.inside.run(["sh", "-c", READ, "sh", str(path)], seconds=QUICK_SECONDS)
        if said.code == NO_FILE:
            return None
        return self._well(said, f"read {path}").out

    async def write(self, path: PurePath, text: str) -> None:
        said = await self._done(f"see {path.parent}", "sh", "-c", OWNER, "sh", str(path.parent))
        user, group = (int(one) for one in said.out.split())
        await self.inside.put(str(path), text.encode(), (user, group))
        await self._done("write to the disk", "sync", str(path), str(path.parent))

    async def remove(self, path: PurePath) -> None:
        await self._done(f"remove {path}", "rm", "-rf", "--", str(path), seconds=LONG_SECONDS)

    async def move(self, path: PurePath, to: PurePath) -> None:
        said = await self.inside.run(["sh", "-c", MOVE, "sh", str(path), str(to)], seconds=QUICK_SECONDS)
        self._well(said, f"move {path} aside", "its folder must not be a mount point itself")

    async def make(self, path: PurePath, like: PurePath) -> None:
        await self._done(f"make {path}", "sh", "-c", MAKE, "sh", str(path), str(like))

    async def settings(self, folder: PurePath) -> list[str]:
        return (await self._done(f"list {folder}", "sh", "-c", SETTINGS, "sh", str(folder))).out.split()

    async def copy(self, files: Sequence[PurePath], folder: PurePath) -> None:
        await self._done(f"copy to {folder}", "cp", "-p", "--", *(str(one) for one in files), str(folder))

    async def sync(self, path: PurePath) -> None:
        await self._done("write to the disk", "sh", "-c", SYNC, "sh", str(path), seconds=LONG_SECONDS)

    async def program(
        self, data: PurePath, name: str, *arguments: str, password: str = "", line: Line | None = None
    ) -> Ran:
        variables = {"LC_ALL": "C"}
        if password:
            said = await self._done(f"see {data}", "sh", "-c", OWNER, "sh", str(data))
            user, group = (int(one) for one in said.out.split())
            escaped = password.replace("\\", "\\\\").replace(":", "\\:")
            await self.inside.put(PASSWORD, f"*:*:*:*:{escaped}\n".encode(), (user, group))
            variables["PGPASSFILE"] = PASSWORD
        lines = _Lines(line) if line is not None else None
        argv = as_owner(str(data), ["sh", "-c", PROGRAM, "sh", str(data), name, *arguments])
        try:
            said = await self.inside.run(
                argv, seconds=LONG_SECONDS, env=variables, hear=lines.hear if lines is not None else None
            )
        finally:
            if password:
                await self.inside.run(["rm", "-f", "--", PASSWORD], seconds=QUICK_SECONDS)
        if said.code is None or said.code in NO_PROGRAM:
            raise ChangeFailed(
                f"{name} cannot be run beside {self.workload}: {said.why}", "is it in the image of the workload?"
            )
        return Ran(said.code, said.out, said.err)

    async def _done(self, what: str, *argv: str, seconds: float = QUICK_SECONDS) -> Said:
        return self._well(await self.inside.run(list(argv), seconds=seconds), what)

    def _well(self, said: Said, what: str, hint: str = "see the volumes of the workload") -> Said:
        if said.code != 0:
            raise ChangeFailed(f"the container beside {self.workload} cannot {what}: {said.why}", hint)
        return said


class _Lines:
    """Whole lines out of pieces."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line, self._left = line, ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def hear(self, channel: int, piece: bytes) -> None:
        if channel != OUT:
            return
        *whole, self._left = (self._left + self._decoder.decode(piece)).split("\n")
        for one in whole:
            self._line(one)
