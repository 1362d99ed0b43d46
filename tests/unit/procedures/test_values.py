"""A step with its values is the plain effect of its change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.procedures.conftest import Compile

from opsbook.book.catalogue import Catalogue
from opsbook.book.system import System
from opsbook.engine.expressions import ExpressionError, NotThere, Secret
from opsbook.engine.fact_names import FactName, facts_of, nested
from opsbook.engine.values import change_of, fill

PARAMS = "params: {a: {default: x}, n: {type: int, default: 1}, t: {type: secret, default: '${T}'}}\n"


def effect(compiled: Compile, shop: System, fence: str, **names: Any) -> dict[str, Any]:
    (step,) = compiled(fence, front=PARAMS).steps
    found = fill(step, names, shop)
    json.dumps(found)
    return found


def test_it_hands_values_to_a_script_by_its_environment(compiled: Compile, shop: System) -> None:
    found = effect(compiled, shop, "```sh env=PAGER,K=${KEY}\necho {{ a }} {{ t }}\n```", a="$(id)", t=Secret("${T}"))
    assert found["argv"][-1] == 'echo "${OPSBOOK_1}" "${OPSBOOK_2}"'
    assert found["env"] == {"OPSBOOK_1": "$(id)"}
    assert found["secrets"] == {"OPSBOOK_2": "${T}", "PAGER": "${PAGER}", "K": "${KEY}"}


def test_it_hands_values_into_a_workload_by_its_environment(compiled: Compile, shop: System) -> None:
    found = effect(compiled, shop, "```sh on=api env=PAGER\necho {{ a }} {{ t }}\n```", a="x y", t=Secret("${T}"))
    assert found["argv"] == ["bash", "-euo", "pipefail", "-c", 'echo "${OPSBOOK_1}" "${OPSBOOK_2}"']
    assert found["env"] == {"OPSBOOK_1": "x y"}
    assert found["secrets"] == {"OPSBOOK_2": "${T}", "PAGER": "${PAGER}"}


REFUSED = [
    ("echo {{ a }}", {"a": "a\0b"}, "NUL"),
    ("echo {{ a }}", {"a": "x" * 100_001}, "100,001 bytes"),
    ("echo {{ a }}", {"a": "\ud800"}, "not valid text"),
    ("rm {{ a }}", {"a": "-rf"}, "would read as an option"),
    ("echo $(( {{ n }} ))", {"n": "a[$(id)]"}, "not a whole number"),
    ("echo $(( {{ n }} ))", {"n": True}, "not a whole number"),
    ("echo {{ a }}", {"a": None}, "has no value"),
    ("echo {{ a }}", {}, "undefined"),
]


@pytest.mark.parametrize(("script", "names", "message"), REFUSED)
def test_it_refuses_values_that_no_script_takes(
    compiled: Compile, shop: System, script: str, names: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExpressionError, match=message) as caught:
        effect(compiled, shop, f"```sh\n{script}\n```", **names)
    assert "(line 5)" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_name_without_value_is_told_apart(compiled: Compile, shop: System) -> None:
    with pytest.raises(NotThere):
        effect(compiled, shop, "```sh\necho {{ a }}\n```")


def test_it_leaves_the_judgement_to_expect_where_that_reads_the_result(compiled: Compile, shop: System) -> None:
    assert effect(compiled, shop, "```sh\nls\n```")["ok"] == "good"
    assert effect(compiled, shop, '```sh expect="exit in (0, 2)"\nls\n```')["ok"] == "any"
    assert effect(compiled, shop, '```http on=api expect="status == 404"\nGET /x\n```')["ok"] == "any"


def test_it_fills_an_operation_with_typed_values(compiled: Compile, shop: System) -> None:
    fence = '```op\npostgres.end_queries: {of: database, limit: "{{ n }}", note: "for {{ a }}"}\n```'
    found = effect(compiled, shop, fence, n=4, a="{{ n }}")
    assert found == {
        "operation": "postgres.end_queries",
        "parameters": {"of": "database", "limit": 4, "note": "for {{ n }}"},
    }
    with pytest.raises(ExpressionError, match="limit"):
        effect(compiled, shop, fence, n=0, a="")


async def test_a_change_of_a_read_says_that_nothing_changes(compiled: Compile, shop: System) -> None:
    (step,) = compiled("```sql on=database\nSELECT 1\n```").steps
    change = await change_of(step, fill(step, {}, shop))
    assert (change.kind, change.inverse, change.effect["write"]) == ("sql", "it changes nothing", False)


def test_it_names_the_facts_that_a_step_reads(compiled: Compile, shop: System, known: Catalogue) -> None:
    text = '```sql on=database when="facts.postgres.connections > 3 and facts.api.http.up"\nSELECT 1\n```'
    (step,) = compiled(text).steps
    found = facts_of(step, shop, known)
    assert found == (
        FactName(("api", "http", "up"), "http.up", "api"),
        FactName(("postgres", "connections"), "postgres.connections", "database"),
    )
    assert nested({found[0]: True, found[1]: 7}) == {"api": {"http": {"up": True}}, "postgres": {"connections": 7}}
