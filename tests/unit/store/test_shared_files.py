"""The store as it comes belongs to its user and the group of its folder, and to nobody else."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbook.engine.owner_lock import OwnerLock
from opsbook.errors import OpsbookError
from opsbook.store import audit
from opsbook.store.audit_head import HeadFile
from opsbook.store.database import open_store, writing

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below pytest's own folder, into which only its user may look.
    found = Path(tempfile.mkdtemp(prefix="opsbook-shared-"))
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)


def act(folder: Path) -> None:
    """Write to the store, sign its record, look at its lock: what an approval does."""
    store = open_store(f"sqlite:///{folder}/.opsbook/store.db")
    with writing(store) as connection:
        audit.append(connection, [audit.Act(1.0, "ann", "here", "approved", "r", None, None, "p", "", "", {})])
    head = HeadFile(folder / ".opsbook/store.db.key", folder / ".opsbook/store.db.head")
    head.check()
    head.write(store, 1.0)
    assert OwnerLock(folder / ".opsbook").free()
    # Before they go, what lies beside an open store: its log.
    for path in (folder / ".opsbook").iterdir():
        assert path.name == ".gitignore" or not stat.S_IMODE(path.stat().st_mode) & 0o007, path
    store.dispose()


def as_user(user: int, group: int, folder: Path) -> bool:
    """Whether another user can act, in a process of their own."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.umask(0o022)
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
            act(folder)
            code = 0
        except (OpsbookError, OSError):
            pass
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def test_it_is_not_for_everybody_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        act(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / ".opsbook").stat().st_mode) == 0o2770
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder / ".opsbook").glob("store.db*")}
    assert modes == {"store.db": 0o660, "store.db.key": 0o640, "store.db.head": 0o660}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_a_user_of_the_folders_group_can_act_and_another_cannot(folder: Path) -> None:
    (folder / ".opsbook").mkdir()
    os.chown(folder / ".opsbook", 0, NOBODY)
    (folder / ".opsbook").chmod(0o2770)
    act(folder)
    assert as_user(NOBODY, NOBODY, folder)
    assert not as_user(NOBODY - 1, NOBODY - 1, folder)
    act(folder)
