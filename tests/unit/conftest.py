"""Stores for tests, copied from one that was migrated once: migrating takes longer than most of these tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.unit.off_the_loop import nothing_blocks_the_loop

from opsbook.store.database import open_store


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty store."""
    file = tmp_path_factory.mktemp("migrated") / "store.db"
    # Closed, so that the whole of it is in the file and not in its log.
    open_store(f"sqlite:///{file}").dispose()
    return file


@pytest.fixture
def store(migrated: Path, tmp_path: Path) -> Engine:
    """An empty store, `store.db` in the test's folder."""
    shutil.copy(migrated, tmp_path / "store.db")
    return open_store(f"sqlite:///{tmp_path}/store.db")


@pytest.fixture(autouse=True)
def no_store_on_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """What serves must not wait for the store on its event loop."""
    if not {"watch", "api"} & {part.name for part in request.path.parents}:
        yield
        return
    with nothing_blocks_the_loop() as found:
        yield
    assert not found, f"the store was asked on the event loop: {', '.join(dict.fromkeys(found))}"
