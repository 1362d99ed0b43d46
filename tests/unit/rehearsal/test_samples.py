from __future__ import annotations

import pytest
from tests.unit.rehearsal.conftest import Compile

from opsbook.book.system import System
from opsbook.rehearsal.samples import sample

LOOK = "```sql on=database\nSELECT {{ a }}\n```"


@pytest.mark.parametrize(
    ("declared", "value", "origin"),
    [
        ("{type: int, default: 3}", 3, "default"),
        ("{type: int, default: 3, example: 7}", 7, "example"),
        ("{type: text, example: 1.1.0}", "1.1.0", "example"),
        ("{type: choice, choices: [b, a]}", "b", "choice"),
        ("{type: duration}", "1h", "derived"),
        ("{type: bool}", False, "derived"),
        ("{type: ratio}", "50%", "derived"),
    ],
)
def test_a_value_is_given_before_it_is_derived(
    shop: System, compiled: Compile, declared: str, value: object, origin: str
) -> None:
    found, missing = sample(compiled(LOOK, f"params: {{a: {declared}}}\n"), shop)
    assert missing == []
    assert [(one.value, one.origin) for one in found] == [(value, origin)]


@pytest.mark.parametrize("kind", ["text", "secret"])
def test_what_cannot_be_derived_is_said_with_its_meaning(shop: System, compiled: Compile, kind: str) -> None:
    step = "- [ ] Look at it"
    found, missing = sample(compiled(step, f"params: {{a: {{type: {kind}, doc: which release}}}}\n"), shop)
    assert found == []
    assert missing == [f"a value of the {kind} parameter 'a' (which release)"]


def test_what_is_not_required_is_left_out(shop: System, compiled: Compile) -> None:
    assert sample(compiled("- [ ] Look", "params: {a: {type: text, required: false}}\n"), shop) == ([], [])


def test_a_component_is_one_that_the_operation_can_change(shop: System, compiled: Compile) -> None:
    text = '```op\nredis.flush: {of: "{{ which }}"}\n```'
    found, _ = sample(compiled(text, "params: {which: {type: component}}\n"), shop)
    assert [(one.value, one.origin) for one in found] == [("cache", "component")]


def test_a_component_is_one_with_a_workload_where_workloads_are_changed(shop: System, compiled: Compile) -> None:
    text = '```op\nworkload.restart: {of: "{{ which }}"}\n```'
    found, _ = sample(compiled(text, "params: {which: {type: component}}\n"), shop)
    assert [one.value for one in found] == ["api"]
