"""What a StatefulSet ran before, of revisions that have an age and a number, and no history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from opsbook.connectors.runtimes.kubernetes_revisions import Kept, deployed
from opsbook.connectors.runtimes.succession import before, succession

MADE = datetime(2026, 1, 1, tzinfo=UTC)


def kept(said: str) -> list[Kept]:
    """`a1 b4`: a was made first, and has the number 1 now. `a4/1`: it had the number 1 before."""
    found = []
    for minute, one in enumerate(said.split()):
        now, _, earlier = one[1:].partition("/")
        at = MADE + timedelta(minutes=minute)
        found.append(Kept(one[0], int(now), at, {}, False, tuple(int(each) for each in earlier.split(",") if each)))
    return sorted(found, key=lambda each: each.number)


@pytest.mark.parametrize(
    ("said", "order", "left"),
    [
        ("a1 b2 c3", "a b c", ""),
        ("a3 b2", "a b a", "b"),
        ("a3 b2 c4", "a b a c", "b"),
        ("a1 b4 c3", "a b c b", "c"),
        ("a4 b5 c3", "a b c a b", "c"),  # both were gone back to
        ("a5 b2 c4", "a b c a", "b c"),
        ("a1 b4 c3 d6 e5", "a b c b d e d", "c e"),
        ("a3/1 b2", "a b a", "b"),  # a ReplicaSet knows its numbers
        ("a3 b4/2", "a b a b", ""),
    ],
)
def test_a_revision_that_is_older_with_a_higher_number_was_gone_back_to(said: str, order: str, left: str) -> None:
    found = kept(said)
    assert " ".join(deployed(found)) == order
    followed = succession(deployed(found))
    assert " ".join(sorted({one.name for one in found} - set(followed))) == left


def test_the_version_before_is_none_that_somebody_went_back_from() -> None:
    assert before(deployed(kept("a1 b4 c3")), "b") == "a"


def test_revisions_of_the_same_second_stand_by_their_numbers() -> None:
    both = [Kept("b", 2, MADE, {}, False), Kept("a", 3, MADE, {}, True)]
    assert deployed(both) == ["b", "a"]
