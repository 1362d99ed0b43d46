from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from opsbook.book.system import System
from opsbook.checks.evaluate import Result, State
from opsbook.rehearsal.seeing import MOST_PATIENCE, SETTLE_SECONDS, checks_of, firings, patience, silent, worse
from opsbook.store.rehearsals import Firing

AT = datetime(2026, 1, 2, tzinfo=UTC)


def result(shop: System, name: str, state: State) -> Result:
    check = next(one for one in shop.checks if one.id == name)
    return Result(check, shop.book.catalogue.observations[check.observe], state, 1.0, "said", AT)


def test_the_checks_of_what_is_touched_and_those_that_lead_to_the_procedure_are_held(shop: System) -> None:
    assert [one.id for one in checks_of(shop, frozenset({"database"}), "restart")] == ["api-up", "database-up"]


def test_only_what_became_bad_is_worse(shop: System) -> None:
    fine, bad = result(shop, "api-up", State.OK), result(shop, "api-up", State.CRITICAL)
    assert worse({"api-up": fine}, {"api-up": bad}) == [bad]
    assert worse({"api-up": bad}, {"api-up": bad}) == []
    assert worse({"api-up": fine}, {"api-up": replace(fine, state=State.WARNING)}) == []


def test_what_is_not_known_does_not_fire(shop: System) -> None:
    results = [result(shop, "api-up", state) for state in State]
    assert [one.state for one in firings(results)] == ["warning", "critical"]


def test_what_never_fired_is_told(shop: System) -> None:
    fired = [Firing("check", "api-up", "critical", 1.0), Firing("alert", "ApiSlow", "firing", 1.0)]
    found = silent(shop, [("ApiSlow", "api"), ("ApiDown", "api")], fired)
    assert [(one.kind, one.name, one.about) for one in found] == [
        ("check", "database-up", "database"),
        ("alert", "ApiDown", "api"),
    ]


def test_a_check_may_be_bad_as_long_as_the_book_lets_it_be_before_it_is_an_alert(shop: System) -> None:
    at_once = result(shop, "api-up", State.CRITICAL)
    later = replace(at_once, check=at_once.check.model_copy(update={"for_": timedelta(minutes=2)}))
    assert patience([at_once], MOST_PATIENCE) == SETTLE_SECONDS
    assert patience([at_once, later], MOST_PATIENCE) == 120
    assert patience([later], SETTLE_SECONDS) == SETTLE_SECONDS
