"""What a digest covers, what it does not, and how a difference reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.catalogue import Risk
from opsbook.engine.digest import canonical, differences, likeness, sealed
from opsbook.engine.procedure import Plan, PlannedStep, Procedure, Step, StepKind
from opsbook.engine.record import as_json, plan_from_json, procedure_from_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
STEP = Step("one", StepKind.SH, "One", 3, {"script": "true"}, Risk.SAFE, False, needs=("x",))
PROCEDURE = Procedure("work", "Work", Risk.SAFE, (STEP,), lock=("database",), file="a.md", revision="r")
CHANGE: dict[str, Any] = {
    "kind": "argv", "effect": {"argv": ["true"], "limit": 5}, "evidence": {"rows": 1}, "guard": {"pid": 7},
    "inverse": {"kind": "argv", "effect": {"argv": ["false"]}, "evidence": None, "guard": None, "inverse": "none"},
}  # fmt: skip


def plan(change: dict[str, Any] = CHANGE, follows: str = "", **values: Any) -> Plan:
    planned = PlannedStep("one", Risk.SAFE, (change,), facts={"lag": 1}, follows=follows)
    given = {"parameters": {"n": 1}, "environment": "test", "book_revision": "b", **values}
    return sealed(Plan(PROCEDURE, steps=(planned,), digest="", **given))


def changed(*path: str, to: Any) -> dict[str, Any]:
    copy: dict[str, Any] = {**CHANGE, "effect": dict(CHANGE["effect"]), "inverse": dict(CHANGE["inverse"])}
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return copy


@pytest.mark.parametrize(
    ("path", "to"),
    [(("effect", "limit"), 6), (("guard",), {"pid": 8}), (("inverse", "guard"), {"pid": 1}), (("kind",), "x")],
)
def test_effects_guards_and_inverses_are_bound(path: tuple[str, ...], to: Any) -> None:
    assert plan(changed(*path, to=to)).digest != plan().digest


def test_evidence_and_facts_are_not_bound() -> None:
    other = plan(changed("evidence", to={"rows": 99}))
    assert other.digest == plan().digest
    moved = replace(plan(), steps=(replace(plan().steps[0], facts={"lag": 500}),))
    assert sealed(moved).digest == plan().digest


@pytest.mark.parametrize("values", [{"parameters": {"n": 2}}, {"environment": "prod"}, {"book_revision": "c"}])
def test_parameters_environment_and_book_are_bound(values: dict[str, Any]) -> None:
    assert plan(**values).digest != plan().digest


def test_a_step_that_follows_another_is_bound_by_its_effects_alone() -> None:
    spoilt = changed("guard", to={"pid": 8})
    assert plan(spoilt, follows="zero").digest == plan(follows="zero").digest
    assert plan(changed("effect", "limit", to=6), follows="zero").digest != plan(follows="zero").digest


def test_where_the_file_lies_is_not_bound() -> None:
    elsewhere = replace(plan(), procedure=replace(PROCEDURE, file="/other/a.md"))
    assert sealed(elsewhere).digest == plan().digest


def test_a_difference_names_step_field_before_and_after() -> None:
    assert differences(plan(), plan()) == []
    assert differences(plan(), plan(changed("effect", "limit", to=6))) == [
        "step one: changes 1.effect.limit was 5 and is now 6"
    ]
    assert differences(plan(), plan(parameters={"n": 2})) == ["the parameter n: 1 became 2"]
    fewer = replace(plan(), steps=())
    assert differences(plan(), fewer) == ["step one is gone"]


@given(JSON)
def test_canonical_json_is_the_same_for_the_same_value(value: Any) -> None:
    import json

    again = json.loads(json.dumps(value))
    assert canonical(again) == canonical(value)
    assert json.loads(canonical(value)) == value


def test_whole_numbers_have_no_fraction() -> None:
    assert canonical({"b": 2.0, "a": [1.5, True]}) == '{"a":[1.5,true],"b":2}'


@given(JSON, JSON)
def test_plans_that_differ_have_sentences_and_equal_ones_none(one: Any, other: Any) -> None:
    first, second = plan(changed("effect", to={"v": one})), plan(changed("effect", to={"v": other}))
    assert (first.digest == second.digest) == (differences(first, second) == [])


def test_plans_and_procedures_come_back_from_their_record() -> None:
    made = plan()
    assert plan_from_json(as_json(made)) == made
    assert procedure_from_json(as_json(PROCEDURE)) == PROCEDURE
    newer = {**as_json(PROCEDURE), "something": "new"}
    assert procedure_from_json(newer) == PROCEDURE


def test_likeness_is_about_what_is_asked_for() -> None:
    assert likeness(PROCEDURE, {"n": 1}, "test") == likeness(replace(PROCEDURE, revision="z"), {"n": 1.0}, "test")
    assert likeness(PROCEDURE, {"n": 1}, "test") != likeness(PROCEDURE, {"n": 2}, "test")
