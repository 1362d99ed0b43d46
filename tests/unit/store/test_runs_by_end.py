"""The runs that ended last are found by an index, also in a store that an older opsbook made."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import event, text

from opsbook.store.database import open_store
from opsbook.store.run_lists import last_ended


def test_the_runs_that_ended_last_are_found_by_an_index_in_a_store_of_before_too(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(address)
    with store.begin() as connection:
        connection.execute(text("DROP INDEX runs_by_end"))
        connection.execute(text("ALTER TABLE incidents DROP COLUMN clocks_from"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    store.dispose()
    store, said = open_store(address), list[tuple[str, object]]()
    event.listen(store, "before_cursor_execute", lambda *given: said.append((given[2], given[3])))
    with store.connect() as connection:
        last_ended(connection, "shop", "test", ("deploy-", "update-system"), ("done", "failed"), 200)
        asked, values = said[-1]
        steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", values)]
    store.dispose()
    assert "runs_by_end" in steps[0] and len(steps) == 1, "it neither reads all of them nor sorts"
