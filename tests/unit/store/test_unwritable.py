"""A store that cannot be written says what, where and what next, whichever of its files it is."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsbook.engine.durable import Durable, sqlite_address
from opsbook.engine.owner_lock import OwnerLock
from opsbook.errors import OpsbookError
from opsbook.store import audit
from opsbook.store.database import open_store, reading, writing

NOBODY = 65534
ACT = audit.Act(1.0, "ann", "here", "approved", "r", None, None, "p", "", "", {})
NEXT = "check its disk and permissions (also who only looks writes there), or name another with OPSBOOK_STORE"


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below pytest's own folder, into which only its user may look.
    top = Path(tempfile.mkdtemp(prefix="opsbook-read-only-"))
    top.chmod(0o755)
    found = top / ".opsbook"
    open_store(f"sqlite:///{found}/store.db").dispose()
    yield found
    found.chmod(0o700)
    shutil.rmtree(top)


def told_to_others(do: Callable[[], object]) -> str:
    """What somebody is told who may look and not write: for root this is another user, in a process of its own."""
    if os.getuid() != 0:
        return _told(do)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(theirs, _told(do).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        found = pipe.read().decode()
    os.waitpid(child, 0)
    return found


def _told(do: Callable[[], object]) -> str:
    try:
        return repr(do())
    except OpsbookError as error:
        return str(error)
    except Exception as error:  # what a person would see as a traceback
        return f"a fault: {type(error).__name__}: {error}"


def only_to_read(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)


def test_it_says_which_store_cannot_be_written_and_what_to_do(folder: Path) -> None:
    only_to_read(folder)
    store = folder / "store.db"

    def look() -> None:
        with reading(open_store(f"sqlite:///{store}")):
            pass

    told = told_to_others(look)
    assert told.startswith(f"the store {store}: ") and told.endswith(NEXT)


def test_who_may_not_write_a_record_is_told_where(folder: Path) -> None:
    store = folder / "store.db"
    folder.chmod(0o777)
    store.chmod(0o444)

    def write() -> None:
        with writing(open_store(f"sqlite:///{store}")) as connection:
            audit.append(connection, [ACT])

    assert told_to_others(write) == f"the store {store}: attempt to write a readonly database\n  → {NEXT}"


def test_who_may_only_look_sees_whether_somebody_executes(folder: Path) -> None:
    held = OwnerLock(folder)
    only_to_read(folder)
    assert told_to_others(OwnerLock(folder).free) == "True", "there is no lock yet, and it cannot be made"
    folder.chmod(0o755)
    assert held.take()
    only_to_read(folder)
    assert told_to_others(OwnerLock(folder).free) == "False"
    held.give_back()
    assert told_to_others(OwnerLock(folder).free) == "True"
    assert told_to_others(OwnerLock(folder).take) == f"the store {folder}/owner.lock: Permission denied\n  → {NEXT}"


def test_the_engine_says_where_it_cannot_write(folder: Path) -> None:
    only_to_read(folder)

    async def begin() -> None:
        Durable(sqlite_address(folder), None, None)  # type: ignore[arg-type]

    told = told_to_others(lambda: asyncio.run(begin()))
    assert told == f"the store {folder}/engine.db: Permission denied\n  → {NEXT}"
