"""Alembic, asked in a container of the version itself: where this host has no sources of it.

The container is made of the workload as it runs, so that it has that one's variables, secrets and network. The version
that runs is asked in a container that runs, where that has the memory to spare: it is seconds faster.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.migrations.alembic import ASK_SECONDS, OPTIONS, Alembic, waiting
from opsbook.connectors.runtimes.contract import LooksInside
from opsbook.connectors.runtimes.once import Once, Ran, run_once
from opsbook.connectors.sides import serving_workload
from opsbook.errors import Absent, Refused, Unreachable

MARK = "opsbook-answer-ended"
START_SECONDS = 120.0
"""What the image may take to come to a node, besides the answer itself."""
ASK = (
    'ask() {{ out=$($calm "$@" 2>/dev/null); code=$?; if [ $code -ne 0 ]; then out=$($calm "$@" 2>&1); fi; '
    "printf '%s\\n{mark} %s\\n' \"$out\" $code; }}"
)
"""Alembic tells its progress on stderr, which logs do not tell from its answer; where it fails, that is what counts."""
NO_ROOM = 75
"""EX_TEMPFAIL of sysexits.h: it has not been asked there."""
ROOM = 256 << 20
"""Bytes of memory that a container which serves must have to spare; Alembic takes less than half of it."""
CALMLY = (
    'd=/sys/fs/cgroup; if [ -r "$d/memory.max" ]; then most=$(cat "$d/memory.max"); used=$(cat "$d/memory.current"); '
    'stat=$d/memory.stat; name=inactive_file; elif [ -r "$d/memory/memory.limit_in_bytes" ]; then d=$d/memory; '
    'most=$(cat "$d/memory.limit_in_bytes"); used=$(cat "$d/memory.usage_in_bytes"); stat=$d/memory.stat; '
    f"name=total_inactive_file; else exit {NO_ROOM}; fi; "
    'if [ "$most" != max ]; then spare=0; while read -r key value; do [ "$key" != "$name" ] || spare=$value; '
    f'done < "$stat"; [ $((most - used + spare)) -ge {ROOM} ] || exit {NO_ROOM}; fi; '
    "if command -v nice >/dev/null; then calm='nice -n 19'; fi; { echo 1000 > /proc/self/oom_score_adj; } 2>/dev/null"
)
"""What serves goes first: not without memory to spare, by what is left of its CPU, and the first to end where memory
runs out all the same. Limits of control groups: kernel.org/doc/html/latest/admin-guide/cgroup-v2.html."""
BESIDE = f'{OPTIONS}="${{{OPTIONS}:+${OPTIONS} }}$1"; export {OPTIONS}; shift; exec "$@"'
"""Options of sessions that the workload has already stay; where both say one, the later counts."""


Answer = tuple[int, str, str]
"""How the command ended, what it said, and its last words where it failed."""


@dataclass(frozen=True)
class AlembicInside(Alembic):
    """Alembic with the migrations of one version, in the image of that version."""

    connections: Connections
    workload: str
    answers: dict[tuple[str, ...], Answer] = field(default_factory=dict, compare=False)
    made: list[str] = field(default_factory=list, compare=False)
    """Containers that were made for questions."""

    @property
    def inside(self) -> str:
        """Where it runs, in the container; the image's own folder where empty."""
        return self.settings.folder.replace("{version}", self.version)

    @property
    def asked(self) -> str:
        return f"a container of {self.workload} with {self.version}, made for that and removed" if self.made else ""

    @property
    def where(self) -> str:
        return f"{self.workload}:{self.version}" + (f" ({PurePosixPath(self.inside)})" if self.inside else "")

    async def prepare(self, *questions: Sequence[str]) -> None:
        """Ask all of them in one container: one that runs this version already, or one of their own."""
        asked = [tuple(one) for one in questions if tuple(one) not in self.answers]
        if not asked:
            return
        lines = [ASK.format(mark=MARK), *("ask " + shlex.join(self.argv(*words)) for words in asked)]
        answers = await self._where_it_runs(lines, len(asked)) or await self._of_its_own(lines, len(asked))
        self.answers.update(zip(asked, answers, strict=True))

    async def _where_it_runs(self, lines: Sequence[str], count: int) -> list[Answer]:
        """None of them where no instance of this version is ready, has room for it, or may be looked into."""
        runtime = self.connections.runtime
        if not isinstance(runtime, LooksInside):
            return []
        try:
            status = await runtime.status(self.workload)
            ready = [one.name for one in status.instances if one.ready]
            # In the middle of a rollout there are several versions, and which one answers is not known.
            if status.version != self.version or not ready:
                return []
            there = [f"cd -- {shlex.quote(self.inside)} || exit {NO_ROOM}"] if self.inside else []
            script = "\n".join([CALMLY, *there, *lines])
            (seen,) = await runtime.look_inside(
                self.workload, ["sh", "-c", script], ASK_SECONDS * count, instances=ready[:1], every=False
            )
            return [] if seen.code is None else _answers(Ran(seen.code, seen.said), count, self.where)
        except (ReadFailed, Unreachable, Absent, Refused):
            return []

    async def _of_its_own(self, lines: Sequence[str], count: int) -> list[Answer]:
        name = f"opsbook-asks-{secrets.token_hex(4)}"
        ran = await run_once(self.connections.runtime, Once(
            name, name, self.workload, self.version, ("sh", "-c", "\n".join(lines)),
            START_SECONDS + ASK_SECONDS * count, folder=self.inside,
        ), _Nowhere())  # fmt: skip
        self.made.append(name)
        return _answers(ran, count, self.where)

    async def _run(self, *words: str) -> Answer:
        await self.prepare(words)
        return self.answers[words]

    def once(self, key: str, verb: str, to: str, timeout: float, lock_timeout: float) -> Once:
        """The migration itself. One database has one at a time, whoever asks."""
        argv = ["sh", "-c", BESIDE, "sh", waiting(lock_timeout), *self.argv(verb, to)]
        return Once(name_of(self.settings.of), _short(key), self.workload, self.version, argv,
                    timeout, {}, self.inside)  # fmt: skip


def name_of(database: str) -> str:
    """The name of the container that migrates a database."""
    return f"opsbook-migrates-{database.lower().replace('_', '-').replace('.', '-')}"


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:24]


def key_of(key: str) -> str:
    """What such a container carries for the key of a change."""
    return _short(key)


def _answers(ran: Ran, count: int, where: str) -> list[Answer]:
    """Raises Refused where it could not be asked at all."""
    found: list[Answer] = []
    lines: list[str] = []
    for line in ran.said.splitlines():
        if line.startswith(f"{MARK} "):
            code, text = int(line.split()[1]), "\n".join(lines)
            last = next((one.strip() for one in reversed(lines) if one.strip()), f"exit {code}")
            found.append((code, text, last if code else ""))
            lines = []
        else:
            lines.append(line)
    if len(found) < count:
        said = next((one.strip() for one in reversed(lines) if one.strip()), f"exit {ran.exit}")
        raise Refused(f"Alembic could not be asked in {where}: {said}", "are `sh` and Alembic in the image?")
    return found


async def inside_of(connections: Connections, version: str) -> AlembicInside:
    """The tool in the workload that the book names."""
    settings = connections.system.model.deploys.migrations
    assert settings is not None and settings.inside, "asked where the book names one"
    workload = await serving_workload(connections, settings.inside) or settings.inside
    if not version:
        raise Refused("the migrations are those of a version, and none is named", "name the version")
    return AlembicInside(connections.system, settings, version, connections, workload)


class _Nowhere:
    async def write(self, text: str) -> None:
        """What a question prints is its answer, and read as that."""
