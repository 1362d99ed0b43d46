"""Stores for tests, copied from one that was migrated once: migrating takes longer than most of these tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine

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
