"""Who acts over the network acts within bounds, and a run keeps them."""

from __future__ import annotations

import pytest

from opsbook.book.people import Access
from opsbook.engine.access import ROLES, Actor, asker_of, requester_of

NAMED = Access(operator=("ann", "group:sre"), viewer=("vera",))


@pytest.mark.parametrize("most", ROLES)
def test_a_token_never_gives_more_than_its_role(most: str) -> None:
    within = set(ROLES[: ROLES.index(most) + 1])
    for access in (NAMED, Access(), Access(everybody="admin"), Access(admin=("ann",))):
        roles = asker_of(access, Actor("ann", "1.2.3.4", most, frozenset())).roles
        assert roles is not None and roles <= within


def test_a_token_never_gives_more_than_the_book_gives_its_owner() -> None:
    assert asker_of(NAMED, Actor("vera", "", "admin", frozenset())).roles == {"viewer"}
    assert asker_of(NAMED, Actor("nobody-knows", "", "admin", frozenset())).roles == frozenset()


def test_groups_of_an_identity_provider_stand_for_those_of_the_system() -> None:
    assert asker_of(NAMED, Actor("zoe", "", "", frozenset({"sre"}))).one_of(["operator"])
    assert not asker_of(NAMED, Actor("zoe", "", "", frozenset({"other"}))).one_of(["operator"])


def test_a_run_keeps_the_bounds_in_which_it_was_asked_for() -> None:
    for actor in (
        Actor("ann", "x"), Actor("ann", "x", "responder"), Actor("zoe", "x", "operator", frozenset({"sre"})),
        Actor("zoe", "x", "", frozenset()),
    ):  # fmt: skip
        kept = requester_of(NAMED, actor.name, actor.asked_as)
        assert kept == asker_of(NAMED, actor)
    assert Actor("ann", "x").asked_as == ""
