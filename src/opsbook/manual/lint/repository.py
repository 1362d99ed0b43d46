"""The repository that a manual lives in: which files are there, so that what the manual names can be looked up."""

from __future__ import annotations

import posixpath
import subprocess
from dataclasses import dataclass
from pathlib import Path

_LIMIT = 10.0  # seconds


@dataclass(frozen=True)
class Repository:
    """Paths of all files, relative to the top with /, and the folder of the manual."""

    files: frozenset[str]
    folder: str = ""

    def has(self, path: str, *, from_folder: bool = False) -> bool:
        """Whether a file or folder is there; `from_folder` looks from the manual's own folder."""
        full = posixpath.normpath(posixpath.join(self.folder if from_folder else "", path))
        if full in ("", ".") or full.startswith(".."):
            return True
        return full in self.files or any(name.startswith(full + "/") for name in self.files)


def repository_of(path: Path) -> Repository | None:
    """The git work tree around a file, or None where there is none or git is missing."""
    folder = path.resolve().parent
    try:
        top = _git(folder, "rev-parse", "--show-toplevel").strip()
        names = _git(Path(top), "ls-files", "--cached", "--others", "--exclude-standard", "-z") if top else ""
    except (OSError, subprocess.SubprocessError):
        return None
    if not top:
        return None
    here = folder.relative_to(Path(top).resolve()).as_posix()
    return Repository(frozenset(name for name in names.split("\0") if name), "" if here == "." else here)


def _git(folder: Path, *words: str) -> str:
    run = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=_LIMIT, check=True)
    return run.stdout
