"""Alembic, asked by its own command: where the schema is, where it would go, and by which statements.

Its environment is that of opsbook's host and the variables that the book names; it runs in the folder of a version, so
that its migrations are that version's.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opsbook.book.delivery import Migrations
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.executors.secrets import masked, resolve
from opsbook.connectors.process_tree import KEY
from opsbook.errors import Refused

ASK_SECONDS = 60.0
BASE = "base"
USUAL = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
_REVISION = re.compile(r"^([0-9A-Za-z_.-]+)(?: \(.*\))?(?: \(head\))?$")


OPTIONS = "PGOPTIONS"
"""Options of each session, as libpq takes them."""


def waiting(seconds: float) -> str:
    """The option by which no statement waits longer for a lock."""
    return f"-c lock_timeout={round(seconds * 1000)}"


@dataclass(frozen=True)
class Alembic:
    """Alembic with the migrations of one version."""

    system: System
    settings: Migrations
    version: str

    @property
    def folder(self) -> Path:
        """Where it runs."""
        return self.system.path(self.settings.folder.replace("{version}", self.version) or ".")

    def argv(self, *words: str) -> list[str]:
        """Its command line. No value of a variable is ever in it."""
        config = ["-c", self.settings.config] if self.settings.config else []
        program = [self.system.resolve(Reference(word)) for word in self.settings.command or ("alembic",)]
        return [*program, *config, *words]

    @property
    def where(self) -> str:
        """Where it runs, for messages."""
        return str(self.folder)

    @property
    def asked(self) -> str:
        """What had to be started so that a plan could be made; empty: nothing beside its own command here."""
        return ""

    async def prepare(self, *questions: Sequence[str]) -> None:
        """Several questions that are going to be asked: where each costs much, they are asked together."""

    async def current(self) -> str:
        """The revision that the schema is at; `base` before the first. Raises Refused."""
        found = self._revisions(await self._ask("current"))
        if len(found) > 1:
            raise Refused(f"the schema is at several revisions: {', '.join(found)}", "merge them: alembic merge")
        return found[0] if found else BASE

    async def head(self) -> str:
        """The newest revision of this version. Raises Refused."""
        found = self._revisions(await self._ask("heads"))
        if len(found) != 1:
            raise Refused(
                f"the migrations of {self.version or self.where} have {len(found)} heads",
                "merge them: alembic merge heads" if found else "is this the folder of alembic.ini?",
            )
        return found[0]

    async def knows(self, revision: str) -> bool:
        """Whether its migrations have this revision."""
        if revision == BASE:
            return True
        code, _, _ = await self._run("show", revision)
        return code == 0

    async def between(self, start: str, end: str) -> list[str]:
        """The revisions after `start`, up to `end`."""
        return re.findall(r"-> ([0-9A-Za-z_.-]+)", await self._ask("history", "-r", f"{start}:{end}"))

    async def script(self, verb: str, start: str, end: str) -> str:
        """The SQL that upgrade or downgrade would run. Raises Refused where it cannot be written out."""
        return await self._ask(verb, f"{start}:{end}", "--sql")

    async def _ask(self, *words: str) -> str:
        code, out, said = await self._run(*words)
        if code:
            raise Refused(f"`{' '.join(self.argv(*words))}` in {self.where}: {said}", "run it by hand")
        return out

    async def _run(self, *words: str) -> tuple[int, str, str]:
        secrets = await resolve(self.system, {name: f"${{{name}}}" for name in self.settings.env})
        environment = {name: os.environ[name] for name in USUAL if name in os.environ} | secrets
        argv = self.argv(*words)
        try:
            child = await asyncio.create_subprocess_exec(
                *argv, cwd=self.folder, env={**environment, KEY: "asking"}, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            raise Refused(f"{argv[0]} in {self.folder}: {error.strerror}", "check `deploys.migrations`") from error
        try:
            async with asyncio.timeout(ASK_SECONDS):
                out, wrong = await child.communicate()
        except TimeoutError:
            child.kill()
            raise Refused(f"{argv[0]} did not answer within {ASK_SECONDS:g} s", "run it by hand") from None
        # Alembic tells its own failures on stdout, those of Python come on stderr.
        told = (wrong + out).decode(errors="replace") if child.returncode else ""
        words_said = [line for line in told.splitlines() if line.strip()]
        said = masked(words_said[-1] if words_said else f"exit {child.returncode}", secrets.values())
        return child.returncode or 0, out.decode(errors="replace"), said

    @staticmethod
    def _revisions(text: str) -> list[str]:
        found = [_REVISION.match(line.strip()) for line in text.splitlines()]
        return [one[1] for one in found if one]


def alembic_of(system: System, version: str) -> Alembic:
    """The tool of the book. Raises Refused where the book has none that opsbook drives."""
    settings = system.model.deploys.migrations
    if settings is None:
        raise Refused("the book does not say how the schema changes", "set `deploys.migrations`")
    if "{version}" in settings.folder and not version:
        raise Refused("the folder of the migrations is that of a version, and none is named", "name the version")
    if "{version}" in settings.folder and ("/" in version or version in (".", "..")):
        raise Refused(f"{version!r} is no name of a version: it would lead to another folder", "name the version alone")
    return Alembic(system, settings, version)
