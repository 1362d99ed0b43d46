"""A store on a PostgreSQL that still takes what is sent, and answers nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from opsbook.store.database import StoreFailed, open_store, patient_engine, reading, writing
from opsbook.store.patience import PATIENCE, Patient, hurried
from tests.integration.servers import Postgres, new_postgres, until
from tests.integration.serving import Serving, a_web, asked, write_book

LONG = 180.0
"""Seconds in which a loaded machine does what takes one at most."""


def test_a_server_that_is_frozen_is_noticed_and_used_again(postgres_server: Postgres) -> None:
    postgres_server.sql("DROP DATABASE IF EXISTS frozen", "CREATE DATABASE frozen", database="postgres")
    store, frozen = open_store(postgres_server.url(database="frozen")), 0
    try:
        with pytest.raises(StoreFailed, match="has not answered for 1 s"), writing(store) as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, Patient) and driver.patience == PATIENCE
            frozen = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            os.kill(frozen, signal.SIGSTOP)
            with hurried(1.0):
                connection.execute(text("SELECT 1"))
        with reading(store) as connection:
            assert int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one()) != frozen
    finally:
        if frozen:
            os.kill(frozen, signal.SIGCONT)
        store.dispose()


def test_who_listens_may_hear_nothing_for_longer_than_a_statement_may_last(postgres_server: Postgres) -> None:
    store = patient_engine(postgres_server.url(database="postgres").replace("://", "+psycopg://"), "a test")
    line = store.raw_connection()
    driver = line.driver_connection
    assert isinstance(driver, Patient)
    driver.patience = 0.2
    try:
        assert list(driver.notifies(timeout=0.6)) == []
        assert driver.patience == 0.2 and not driver.closed
    finally:
        line.close()
        store.dispose()


@pytest.mark.real
@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_a_watch_says_that_its_store_is_frozen_and_goes_on_when_it_is_not(tmp_path: Path) -> None:
    """Everything of it waits for the store then: checks, leadership, and the engine that executes runs."""
    with a_web() as web, new_postgres() as server:
        server.sql("CREATE DATABASE opsbook", database="postgres")
        address = server.url(database="opsbook")
        book = write_book(tmp_path / "book", web)
        serving = Serving(book, OPSBOOK_STORE=address).watching()
        try:
            until(lambda: asked(address, "SELECT count(*) FROM check_results")[0][0] >= 2, LONG)
            server.signal(signal.SIGSTOP)
            try:
                frozen = time.monotonic()
                web.up = False
                until(lambda: "nothing is decided or told" in serving.said(), LONG, "it says that the store is gone")
                print(f"said after {time.monotonic() - frozen:.0f} s")
                # Its engine has lost its lease meanwhile, and has stopped.
                until(lambda: "this worker lost its lease" in serving.said(), LONG)
                assert serving.process.poll() is None, serving.said()
                assert not web.bodies
            finally:
                server.signal(signal.SIGCONT)
            until(lambda: web.bodies, LONG, "the page of what turned bad meanwhile")
            until(lambda: "the store can be used again" in serving.said(), LONG)
            alive = "SELECT count(*) FROM leases WHERE name LIKE 'worker:%' AND until > extract(epoch FROM now())"
            until(lambda: asked(address, alive) == [(1,)], LONG, "its engine executes again")
            assert serving.end() == 0, serving.said()
        finally:
            serving.kill()
        assert "Traceback" not in serving.said(), serving.said()
