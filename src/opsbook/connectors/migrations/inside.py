"""Alembic, asked in a container of the version itself: where this host has no sources of it.

The container is made of the workload as it runs, so that it has that one's variables, secrets and network.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from opsbook.connectors.contract import Connections
from opsbook.connectors.migrations.alembic import ASK_SECONDS, OPTIONS, Alembic, waiting
from opsbook.connectors.runtimes.once import Once, Ran, run_once
from opsbook.connectors.sides import serving_workload
from opsbook.errors import Refused

MARK = "opsbook-answer-ended"
START_SECONDS = 120.0
"""What the image may take to come to a node, besides the answer itself."""
ASK = (
    'ask() {{ out=$("$@" 2>/dev/null); code=$?; if [ $code -ne 0 ]; then out=$("$@" 2>&1); fi; '
    "printf '%s\\n{mark} %s\\n' \"$out\" $code; }}"
)
"""Alembic tells its progress on stderr, which logs do not tell from its answer; where it fails, that is what counts."""
BESIDE = f'{OPTIONS}="${{{OPTIONS}:+${OPTIONS} }}$1"; export {OPTIONS}; shift; exec "$@"'
"""Options of sessions that the workload has already stay; where both say one, the later counts."""


@dataclass(frozen=True)
class AlembicInside(Alembic):
    """Alembic with the migrations of one version, in the image of that version."""

    connections: Connections
    workload: str
    answers: dict[tuple[str, ...], tuple[int, str, str]] = field(default_factory=dict, compare=False)

    @property
    def inside(self) -> str:
        """Where it runs, in the container; the image's own folder where empty."""
        return self.settings.folder.replace("{version}", self.version)

    @property
    def asked(self) -> str:
        return f"a container of {self.workload} with {self.version}, made for that and removed"

    @property
    def where(self) -> str:
        return f"{self.workload}:{self.version}" + (f" ({PurePosixPath(self.inside)})" if self.inside else "")

    async def prepare(self, *questions: Sequence[str]) -> None:
        """Ask all of them in one container."""
        asked = [tuple(one) for one in questions if tuple(one) not in self.answers]
        if not asked:
            return
        lines = [ASK.format(mark=MARK), *("ask " + shlex.join(self.argv(*words)) for words in asked)]
        name = f"opsbook-asks-{secrets.token_hex(4)}"
        ran = await run_once(self.connections.runtime, Once(
            name, name, self.workload, self.version, ("sh", "-c", "\n".join(lines)),
            START_SECONDS + ASK_SECONDS * len(asked), folder=self.inside,
        ), _Nowhere())  # fmt: skip
        for words, answer in zip(asked, _answers(ran, len(asked), self.where), strict=True):
            self.answers[words] = answer

    async def _run(self, *words: str) -> tuple[int, str, str]:
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


def _answers(ran: Ran, count: int, where: str) -> list[tuple[int, str, str]]:
    """The answers, each with its code. Raises Refused where it could not be asked at all."""
    found: list[tuple[int, str, str]] = []
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
