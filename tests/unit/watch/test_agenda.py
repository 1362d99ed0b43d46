"""What is due next of many things."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.watch.watched import START

from opsbook.watch.agenda import Agenda


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 50)), max_size=60), st.integers(0, 50))
def test_it_gives_what_a_plain_table_would(puts: list[tuple[str, int]], second: int) -> None:
    agenda, plain = Agenda(), dict[str, datetime]()
    for name, at in puts:
        plain[name] = START + timedelta(seconds=at)
        agenda.put(name, plain[name])
    assert agenda.next() == min(plain.values(), default=None)
    now = START + timedelta(seconds=second)
    taken = agenda.take(now)
    assert sorted(taken) == sorted(name for name, at in plain.items() if at <= now)
    assert [plain[name] for name in taken] == sorted(plain[name] for name in taken)
    assert agenda.next() == min((at for at in plain.values() if at > now), default=None)
