"""A store on a PostgreSQL that still takes what is sent, and answers nothing."""

from __future__ import annotations

import os
import signal

import pytest
from sqlalchemy import text

from opsbook.store.database import StoreFailed, open_store, reading, writing
from opsbook.store.patience import PATIENCE, Patient
from tests.integration.servers import Postgres


def test_a_server_that_is_frozen_is_noticed_and_used_again(postgres_server: Postgres) -> None:
    postgres_server.sql("DROP DATABASE IF EXISTS frozen", "CREATE DATABASE frozen", database="postgres")
    store, frozen = open_store(postgres_server.url(database="frozen")), 0
    try:
        with pytest.raises(StoreFailed, match="has not answered for 1 s"), writing(store) as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, Patient) and driver.patience == PATIENCE
            frozen = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            driver.patience = 1.0
            os.kill(frozen, signal.SIGSTOP)
            connection.execute(text("SELECT 1"))
        with reading(store) as connection:
            assert int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one()) != frozen
    finally:
        if frozen:
            os.kill(frozen, signal.SIGCONT)
        store.dispose()
