"""The audit chain: whatever is done to it afterwards is found, and the first broken record is named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from opsbook.store import audit
from opsbook.store.audit import Act, Cut, Record
from opsbook.store.audit_head import HeadFile, verify_store
from opsbook.store.database import open_store, writing

TEXT = st.text(max_size=12)
ACTS = st.lists(
    st.builds(
        Act,
        at=st.floats(0, 4e9),
        actor=TEXT,
        origin=TEXT,
        event=TEXT,
        run=st.none() | TEXT,
        step=st.none() | TEXT,
        attempt=st.none() | st.integers(0, 9),
        outcome=TEXT,
        detail=st.dictionaries(TEXT, st.integers() | TEXT | st.lists(TEXT, max_size=3), max_size=3),
    ),
    min_size=2,
    max_size=12,
)


def chain_of(acts: list[Act]) -> list[Record]:
    tail, made = "", []
    for seq, act in enumerate(acts, 1):
        detail = audit.canonical(act.detail)
        tail = audit.chained(tail, seq, act, detail)
        made.append(Record(seq, act, detail, tail))
    return made


@given(ACTS)
def test_an_untouched_chain_is_whole(acts: list[Act]) -> None:
    found = audit.check(chain_of(acts))
    assert found.broken is None and found.records == len(acts)


@given(ACTS, st.data())
def test_an_edited_record_is_named(acts: list[Act], data: st.DataObject) -> None:
    chain = chain_of(acts)
    place = data.draw(st.integers(0, len(chain) - 1))
    field = data.draw(st.sampled_from(["at", "actor", "origin", "event", "run", "step", "attempt", "outcome"]))
    old = getattr(chain[place].act, field)
    new = (old or 0) + 1 if field in ("at", "attempt") else (old or "") + "x"
    if new == old:
        return
    chain[place] = replace(chain[place], act=replace(chain[place].act, **{field: new}))
    broken = audit.check(chain).broken
    assert broken is not None and broken.seq == place + 1


@given(ACTS, st.data())
def test_a_detail_edited_by_one_character_is_named(acts: list[Act], data: st.DataObject) -> None:
    chain = chain_of(acts)
    place = data.draw(st.integers(0, len(chain) - 1))
    chain[place] = replace(chain[place], detail=chain[place].detail + " ")
    broken = audit.check(chain).broken
    assert broken is not None and broken.seq == place + 1


@given(ACTS, st.data())
def test_a_dropped_record_is_named(acts: list[Act], data: st.DataObject) -> None:
    chain = chain_of(acts)
    place = data.draw(st.integers(0, len(chain) - 2))
    broken = audit.check(chain[:place] + chain[place + 1 :]).broken
    assert broken is not None and broken.seq in (place + 1, 1)


@given(ACTS, st.data())
def test_records_in_another_order_are_found(acts: list[Act], data: st.DataObject) -> None:
    chain = chain_of(acts)
    place = data.draw(st.integers(0, len(chain) - 2))
    chain[place], chain[place + 1] = chain[place + 1], chain[place]
    assert audit.check(chain).broken is not None
    # Also where the numbers are made to fit.
    renumbered = [replace(record, seq=seq) for seq, record in enumerate(chain, 1)]
    broken = audit.check(renumbered).broken
    assert broken is not None and broken.seq == place + 1


@given(ACTS, st.data())
def test_an_inserted_record_is_found(acts: list[Act], data: st.DataObject) -> None:
    chain = chain_of(acts)
    place = data.draw(st.integers(0, len(chain) - 1))
    forged = replace(chain[place], hash="0" * 64)
    longer = [*chain[:place], forged, *chain[place:]]
    broken = audit.check([replace(record, seq=seq) for seq, record in enumerate(longer, 1)]).broken
    assert broken is not None and broken.seq == place + 1


@pytest.fixture
def head(tmp_path: Path) -> HeadFile:
    return HeadFile(tmp_path / "store.key", tmp_path / "elsewhere" / "head")


def fill(store: Engine, count: int, start: int = 0) -> None:
    with writing(store) as connection:
        audit.append(connection, [Act(float(n), "ann", "here", "did", f"r{n}") for n in range(start, start + count)])


def test_a_cut_tail_is_found_by_the_head_outside(store: Engine, head: HeadFile) -> None:
    fill(store, 10)
    head.write(store, 1.0)
    with writing(store) as connection:
        connection.execute(text("DELETE FROM audit WHERE seq > 7"))
    assert audit.verify(store).broken is None
    broken = verify_store(store, head).broken
    assert broken is not None and broken.seq == 8 and "missing" in broken.reason


def test_a_chain_written_anew_is_found_by_the_head_outside(store: Engine, head: HeadFile) -> None:
    fill(store, 5)
    head.write(store, 1.0)
    with writing(store) as connection:
        connection.execute(text("DELETE FROM audit"))
    fill(store, 9, start=100)
    assert audit.verify(store).broken is None
    broken = verify_store(store, head).broken
    assert broken is not None and broken.seq == 5 and "written anew" in broken.reason


def test_a_head_that_was_forged_has_no_valid_signature(store: Engine, head: HeadFile) -> None:
    fill(store, 5)
    head.write(store, 1.0)
    lines = head.file.read_text().splitlines()
    told = json.loads(lines[1])
    told["seq"] = 4
    head.file.write_text("\n".join([lines[0], json.dumps(told)]) + "\n")
    broken = verify_store(store, head).broken
    assert broken is not None and "signature" in broken.reason


def test_the_head_keeps_its_old_lines_and_does_not_repeat_itself(store: Engine, head: HeadFile) -> None:
    fill(store, 1)
    head.write(store, 1.0)
    head.write(store, 2.0)
    fill(store, 1, start=50)
    head.write(store, 3.0)
    assert [one.seq for one in head.heads()[1]] == [1, 2]
    assert head.key.stat().st_mode & 0o777 == 0o600
    assert verify_store(store, head).broken is None


def retain(store: Engine, head: HeadFile, before: float) -> int:
    with writing(store) as connection:
        return audit.cut_before(connection, before, lambda cut: head.retention(cut, 1000.0, "ann", "here"))


def test_retention_keeps_the_rest_verifiable(store: Engine, head: HeadFile) -> None:
    fill(store, 20)
    head.write(store, 1.0)
    assert retain(store, head, 12.0) == 12
    fill(store, 3, start=1001)
    head.write(store, 2.0)
    assert retain(store, head, 15.0) == 3
    found = verify_store(store, head)
    assert found.broken is None and found.first == 16 and found.last == 25


def test_a_beginning_removed_by_hand_is_found(store: Engine, head: HeadFile) -> None:
    fill(store, 20)
    head.write(store, 1.0)
    with writing(store) as connection:
        connection.execute(text("DELETE FROM audit WHERE seq <= 5"))
    broken = verify_store(store, head).broken
    assert broken is not None and broken.seq == 1


def test_a_beginning_removed_under_a_forged_record_of_retention_is_found(store: Engine, head: HeadFile) -> None:
    fill(store, 20)
    head.write(store, 1.0)
    with writing(store) as connection:
        forged = lambda cut: Act(9.0, "eve", "there", audit.RETENTION, detail={**vars(cut), "signature": "AAAA"})  # noqa: E731
        audit.cut_before(connection, 5.0, forged)
    assert audit.verify(store).broken is None
    broken = verify_store(store, head).broken
    assert broken is not None and "not by retention" in broken.reason


def test_cutting_nothing_adds_nothing(store: Engine, head: HeadFile) -> None:
    fill(store, 3)
    assert retain(store, head, -1.0) == 0
    assert audit.verify(store).records == 3


def test_a_record_that_cannot_be_read_is_named(store: Engine) -> None:
    fill(store, 6)
    with writing(store) as connection:
        connection.execute(text("UPDATE audit SET actor = CAST(X'ff' AS TEXT) WHERE seq = 4"))
    broken = audit.verify(store).broken
    assert broken is not None and broken.seq == 4


@settings(max_examples=10, deadline=None)
@given(acts=ACTS)
def test_the_store_gives_back_what_was_chained(
    acts: list[Act], migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = open_store(f"sqlite:///{shutil.copy(migrated, tmp_path_factory.mktemp('store'))}")
    seen: set[object] = set()
    distinct = []
    for act in acts:
        same = (act.run, act.step, act.attempt, act.event)
        # A NUL or half a surrogate cannot be stored as text; an act is told once.
        if same not in seen and all("\x00" not in v for v in (act.actor, act.origin, act.event, act.outcome)):
            seen.add(same)
            distinct.append(act)
    with writing(store) as connection:
        audit.append(connection, distinct)
    found = audit.verify(store)
    store.dispose()
    assert found.broken is None and found.records == len(distinct)


def test_a_cut_is_only_believed_at_its_own_place() -> None:
    chain = chain_of([Act(1.0, "a", "b", f"c{n}") for n in range(6)])
    assert audit.check(chain[3:], [Cut(3, chain[2].hash)]).broken is None
    assert audit.check(chain[3:], [Cut(2, chain[1].hash)]).broken is not None
    assert audit.check(chain[3:], [Cut(3, chain[1].hash)]).broken is not None
