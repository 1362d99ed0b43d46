"""Files of a folder that is a link, switched at once: a new folder beside the one that it leads to, and one rename.

Key and chain are two files, and a process may be killed between two renames. Where their folder is a link, a copy of it
is made with both in it, and the link is set to that: whoever reads sees the pair of before or the new one, no halves.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from opsbook.connectors.executors.file import alone, replace_file, synced

MOST_FILES, MOST_BYTES = 500, 16 * 2**20
"""A folder of more than that is none of certificates alone, and is not copied."""
Contents = Mapping[str, tuple[bytes, int]]
"""Name of a file → what it is to hold, and its mode where it is new."""


def switches(folder: Path) -> bool:
    """Whether what lies in this folder can be switched at once."""
    if not folder.is_symlink() or not folder.is_dir():
        return False
    sizes = [path.lstat().st_size for path in folder.iterdir() if not path.is_dir()]
    return len(sizes) <= MOST_FILES and sum(sizes) <= MOST_BYTES


def switch(folder: Path, files: Contents) -> None:
    """Set the link to a copy of its folder in which these files are so. Done twice, it is done once. Raises OSError.

    Copies of an earlier switch go, but for the one that is left just now: somebody may be reading there.
    """
    with alone(folder):
        before = folder.resolve()
        if any(not (before / name).exists() or (before / name).read_bytes() != told[0] for name, told in files.items()):
            after = _copy(folder, before, files)
            _lead(folder, after)
        else:
            after = before
        for number, one in _copies(folder, before).items():
            if one not in (before, after) or (one != after and number > _number(folder, after)):
                shutil.rmtree(one)


def _copy(folder: Path, before: Path, files: Contents) -> Path:
    making = before.parent / f".{folder.name}.making"
    if making.exists():
        shutil.rmtree(making)
    shutil.copytree(before, making, symlinks=True, copy_function=_with_owner)
    _own(making, before)
    for name, (content, mode) in files.items():
        replace_file(making / name, content, mode)
    after = before.parent / f"{folder.name}.pair-{max([0, *_copies(folder, before)]) + 1}"
    making.rename(after)
    synced(before.parent)
    return after


def _lead(folder: Path, to: Path) -> None:
    """The link, by one rename; relative where it was."""
    coming = folder.with_name(f".{folder.name}.link")
    coming.unlink(missing_ok=True)
    told = folder.readlink()
    coming.symlink_to(to if told.is_absolute() else os.path.relpath(to, folder.parent.resolve()))
    coming.replace(folder)
    synced(folder.parent)


def _copies(folder: Path, before: Path) -> dict[int, Path]:
    """The folders that an earlier switch has made."""
    found = {_number(folder, one): one for one in before.parent.iterdir() if one.is_dir() and not one.is_symlink()}
    return {number: one for number, one in found.items() if number}


def _number(folder: Path, copy: Path) -> int:
    match = re.fullmatch(rf"{re.escape(folder.name)}\.pair-(\d+)", copy.name)
    return int(match[1]) if match else 0


def _with_owner(source: str, target: str) -> str:
    shutil.copy2(source, target, follow_symlinks=False)
    _own(Path(target), Path(source))
    return target


def _own(target: Path, like: Path) -> None:
    found = like.lstat()
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
