"""Versions on a host: release directories side by side, a symlink to the one that runs, and a record of deploys."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from opsbook.connectors.runtimes.contract import Revision
from opsbook.connectors.runtimes.succession import before, succession
from opsbook.errors import Unreachable

RECORD = ".deploys.jsonl"
"""In the folder of releases: one line for each switch of the symlink."""


@dataclass(frozen=True)
class Releases:
    """The folder of releases and the symlink. A version is the name of a release directory."""

    folder: Path
    current: Path

    def versions(self) -> list[str]:
        """The releases that are there; partial ones begin with a dot. Raises Unreachable."""
        try:
            found = [one for one in self.folder.iterdir() if one.is_dir() and not one.name.startswith(".")]
            return sorted(one.name for one in found)
        except OSError as error:
            raise Unreachable(f"{self.folder}: {error.strerror}", "correct `runtime.releases` in book.yaml") from error

    def running(self) -> str:
        """The version that the symlink points to; empty where it points to none of them."""
        try:
            target = self.current.resolve(strict=True)
        except OSError:
            return ""
        return target.name if target.parent == self.folder.resolve() else ""

    def version_of(self, directory: str) -> str:
        """The version in which a directory lies; empty where it lies in none."""
        try:
            inside = Path(directory).relative_to(self.folder.resolve())
        except ValueError:
            return ""
        return inside.parts[0] if inside.parts else ""

    def revisions(self) -> list[Revision]:
        """Every version: those never deployed by age of their folder, those gone back from, the others as they followed
        each other, and what was brought after the current one and never ran."""
        switches = self._switches()
        deployed, followed = dict(switches), succession([version for version, _ in switches])
        now, there = self.running(), self.versions()
        since = self._made(now) if now in there else datetime.max.replace(tzinfo=UTC)

        def place(version: str) -> tuple[int, int, datetime]:
            if version in followed:
                return 2, followed.index(version), at(version)
            coming = version not in deployed and version != now and self._made(version) > since
            return 3 if coming else int(version in deployed), 0, at(version)

        def at(version: str) -> datetime:
            return deployed.get(version) or self._made(version)

        ordered = sorted(there, key=place)
        left = deployed.keys() - {*followed, now}
        return [Revision(n, version, at(version), version == now, version in left)
                for n, version in enumerate(ordered, 1)]  # fmt: skip

    def previous(self) -> str:
        """The version that the current one followed; of one that followed none, the next older that never ran.

        Empty where there is none.
        """
        deployed, now, there = [version for version, _ in self._switches()], self.running(), self.versions()
        if found := before([version for version in deployed if version in there], now):
            return found
        older = [one for one in there if one not in deployed and now in there and self._made(one) < self._made(now)]
        return max(older, key=self._made, default="")

    def _made(self, version: str) -> datetime:
        """When its folder was made."""
        return datetime.fromtimestamp((self.folder / version).stat().st_mtime, UTC)

    def switch(self, version: str, at: datetime) -> None:
        """Point the symlink to a release in one step, and record it. Raises OSError: then it points where it did."""
        if not self._switches() and (first := self.running()):
            self._record(first, datetime.fromtimestamp(self.current.lstat().st_mtime, UTC))
        fresh = self.current.with_name(f".{self.current.name}.{os.getpid()}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.path.relpath(self.folder / version, self.current.parent))
        try:
            # Before the step itself, which needs no room on the disk: what is switched is never left unrecorded.
            self._record(version, at)
            fresh.replace(self.current)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def _record(self, version: str, at: datetime) -> None:
        path = self.folder / RECORD
        # A full disk may have cut the line before; what comes after it stands on a line of its own.
        cut = path.exists() and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * cut + json.dumps({"version": version, "at": at.isoformat()}) + "\n")

    def _switches(self) -> list[tuple[str, datetime]]:
        """Every version that was switched to, and when; the oldest first."""
        try:
            lines = (self.folder / RECORD).read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            try:
                entry = json.loads(line)
                found.append((str(entry["version"]), datetime.fromisoformat(entry["at"])))
            except (ValueError, KeyError, TypeError):
                continue  # a line that was cut by a full disk tells nothing
        return found
