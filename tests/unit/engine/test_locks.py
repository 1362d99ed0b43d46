"""Who may hold which path at the same time, and in which order they are served."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, update

from opsbook.engine import locks
from opsbook.store.database import writing
from opsbook.store.tables import runs

PATHS = st.lists(st.sampled_from(["a", "a/b", "a/b/c", "a/bc", "d", "d/e"]), min_size=1, max_size=4)


def start(store: Engine, run: str, *paths: str) -> int | list[locks.Holder]:
    text = dict.fromkeys(
        "system environment book book_revision title risk compiled parameters plan digest likeness origin".split(),  # noqa: SIM905
        "",
    )
    row = {**text, "id": run, "procedure": f"of {run}", "state": "running", "requester": "ann", "requested_at": 0.0}
    with writing(store) as connection:
        connection.execute(insert(runs).values(row))
        locks.queue(connection, run, paths, 1.0)
    return take(store, run)


def take(store: Engine, run: str) -> int | list[locks.Holder]:
    with writing(store) as connection:
        return locks.take(connection, run, 2.0)


def end(store: Engine, run: str, *, release: bool = True) -> None:
    with writing(store) as connection:
        connection.execute(update(runs).where(runs.c.id == run).values(state="done"))
        if release:
            locks.release(connection, run)


def test_a_path_excludes_those_above_and_below(store: Engine) -> None:
    assert isinstance(start(store, "one", "renec/production/database"), int)
    above, beside, below = (
        start(store, "two", "renec/production"),
        start(store, "three", "renec/staging"),
        start(store, "four", "renec/production/database/table"),
    )
    assert isinstance(above, list) and "holds renec/production/database" in str(above[0])
    assert isinstance(beside, int)
    assert isinstance(below, list)


def test_a_name_that_only_begins_alike_excludes_nothing() -> None:
    assert not locks.overlap("renec/data", "renec/database")


def test_the_fencing_token_grows(store: Engine) -> None:
    first = start(store, "one", "a")
    end(store, "one")
    second = start(store, "two", "a")
    assert isinstance(first, int) and isinstance(second, int) and second > first


def test_who_came_first_is_served_first(store: Engine) -> None:
    start(store, "one", "a/b")
    start(store, "two", "a")
    waiting = start(store, "three", "a/c")
    assert isinstance(waiting, list) and waiting[0].run == "two" and waiting[0].queued
    end(store, "one")
    assert isinstance(take(store, "three"), list)
    assert isinstance(take(store, "two"), int)
    end(store, "two")
    assert isinstance(take(store, "three"), int)


def test_a_run_takes_all_its_paths_or_none(store: Engine) -> None:
    start(store, "one", "b")
    assert isinstance(start(store, "two", "a", "b"), list)
    with writing(store) as connection:
        assert locks.token(connection, "two") == 0


def test_a_lock_whose_run_has_ended_is_not_held(store: Engine) -> None:
    start(store, "one", "a")
    end(store, "one", release=False)
    assert isinstance(start(store, "two", "a"), int)
    with writing(store) as connection:
        assert not locks.holds(connection, "one", 1)


def test_an_old_token_no_longer_holds(store: Engine) -> None:
    fence = start(store, "one", "a")
    assert isinstance(fence, int)
    with writing(store) as connection:
        assert locks.holds(connection, "one", fence)
        assert not locks.holds(connection, "one", fence + 1)


@given(PATHS)
def test_the_paths_of_a_run_cover_the_same_and_never_overlap(paths: list[str]) -> None:
    kept = locks.in_order(paths)
    assert all(any(locks.overlap(path, one) for one in kept) for path in paths)
    assert not any(locks.overlap(one, other) for one in kept for other in kept if one != other)
    assert list(kept) == sorted(kept)
