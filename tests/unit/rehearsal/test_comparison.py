from __future__ import annotations

import json
from typing import Any

import pytest

from opsbook.book.catalogue import Risk
from opsbook.engine.procedure import Plan, PlannedStep, Procedure
from opsbook.rehearsal.comparison import amounts, deviations, undo_of
from opsbook.store.runs import ChangeRow, StepRow

NOBODY = Procedure("p", "P", Risk.SAFE, ())


def change(statement: str = "VACUUM", evidence: Any = None) -> dict[str, Any]:
    effect = {"statement": statement}
    return {"kind": "sql", "effect": effect, "evidence": evidence, "guard": None, "inverse": "nothing to undo"}


def planned(*changes: dict[str, Any], **keys: Any) -> Plan:
    return Plan(NOBODY, {}, "test", "", (PlannedStep("a", Risk.SAFE, tuple(changes), **keys),), "")


def made(one: dict[str, Any], index: int = 0, state: str = "done", result: Any = None, undo: bool = False) -> ChangeRow:
    told = "" if result is None else json.dumps(result)
    return ChangeRow(f"r/a/{index}", "r", "a", index, undo, 1, state, json.dumps(one), "", told, "why", 1.0, 2.0)


def reached(state: str = "done", message: str = "") -> dict[str, StepRow]:
    return {"a": StepRow("r", "a", 0, state, message, "", "", 1.0, 2.0)}


def test_what_was_planned_and_made_does_not_deviate() -> None:
    assert deviations(planned(change()), reached(), [made(change())]) == []


def test_another_effect_is_grave() -> None:
    (found,) = deviations(planned(change("VACUUM")), reached(), [made(change("DROP TABLE t"))])
    assert found.grave
    assert found.sentence == 'changes 1.effect.statement was "VACUUM" and is now "DROP TABLE t"'


def test_another_guard_is_not_told() -> None:
    assert deviations(planned(change()), reached(), [made({**change(), "guard": {"pid": 7}})]) == []


def test_a_change_that_was_planned_and_not_made_is_grave() -> None:
    (found,) = deviations(planned(change(), change()), reached(), [made(change())])
    assert (found.grave, found.sentence) == (True, "2 changes were planned, and 1 made")


def test_a_step_that_was_left_out_against_its_plan_is_told() -> None:
    (found,) = deviations(planned(change()), reached("skipped", "`x` does not hold"), [])
    assert found.sentence == "it was left out: `x` does not hold"


def test_a_step_that_was_not_reached_or_planned_later_is_not_compared() -> None:
    assert deviations(planned(change()), {}, []) == []
    assert deviations(planned(deferred="it reads x"), reached(), [made(change())]) == []


def test_another_amount_is_told_and_not_grave() -> None:
    done = made(change(evidence={"rows": 120}), result={"deleted": 118})
    (found,) = deviations(planned(change(evidence={"rows": 120})), reached(), [done])
    assert (found.grave, found.sentence) == (False, "120 rows were seen, and 118 deleted")


@pytest.mark.parametrize(
    ("seen", "said"),
    [({"keys": 5}, {"unlinked": 5}), (None, {"deleted": 5}), ({"rows": "many"}, {"deleted": 5}), ({"rows": 5}, None)],
)
def test_equal_and_incomparable_amounts_are_not_told(seen: Any, said: Any) -> None:
    assert amounts(seen, said) == ""


def test_the_way_back_is_counted() -> None:
    rows = [
        made(change(), 0, "done", undo=True),
        made(change(), 1, "impossible", undo=True),
        made(change(), 2, "refused", undo=True),
        made(change(), 3),
    ]
    undo = undo_of(rows)
    assert (undo.possible, undo.undone, undo.impossible, undo.failed) == (2, 1, ("a: why",), (("a", "why"),))
    assert undo.sentence == "1 of 2 undone; a: why"
