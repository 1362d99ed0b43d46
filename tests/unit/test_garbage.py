"""A verb looks for garbage seldom; a process that stays does as Python does."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from opsbook.cli import garbage


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_a_process_that_stays_looks_for_garbage_as_often_as_python_does() -> None:
    garbage.seldom()
    assert gc.get_threshold()[0] == garbage.SELDOM
    garbage.as_usual()
    assert gc.get_threshold() == garbage.USUAL
    assert gc.isenabled()


def test_a_verb_that_ends_does_not_look_through_all_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    at_its_end: list[object] = []
    monkeypatch.setattr("atexit.register", at_its_end.append)
    garbage.seldom()
    assert at_its_end == [gc.freeze]
