"""A secret among the parameters of an operation stays a reference until its change is applied."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.procedures.conftest import Compile

from opsbook.book.references import SecretReference
from opsbook.book.system import System
from opsbook.connectors.executors.secrets import heard_by, put_in, resolve, told_apart
from opsbook.engine.expressions import ExpressionError, Secret
from opsbook.engine.values import fill
from opsbook.operations.http import _body

PARAMS = "params: {a: {default: x}, t: {type: secret, default: '${T}'}}\n"


def parameters(compiled: Compile, shop: System, fence: str, **names: Any) -> dict[str, Any]:
    (step,) = compiled(fence, front=PARAMS).steps
    found: dict[str, Any] = fill(step, names, shop)["parameters"]
    return found


def test_what_the_author_writes_as_a_reference_is_one(compiled: Compile, shop: System) -> None:
    body = "{a: '${K}', b: [file:key, 'cmd:vault read k'], c: '{{ t }}'}"
    fence = f"```op\nhttp.request: {{of: api, path: /, json: {body}}}\n```"
    found = parameters(compiled, shop, fence, t=Secret("${T}"))["json"]
    assert found == {
        "a": SecretReference("${K}"),
        "b": [SecretReference("file:key"), SecretReference("cmd:vault read k")],
        "c": SecretReference("${T}"),
    }


def test_a_value_that_looks_like_a_reference_is_none(compiled: Compile, shop: System) -> None:
    fence = "```op\nhttp.request: {of: api, path: /, json: {a: '{{ a }}', b: \"{{ 'file:key' }}\", c: 'x ${K}'}}\n```"
    assert parameters(compiled, shop, fence, a="${DATABASE_URL}")["json"] == {
        "a": "${DATABASE_URL}", "b": "file:key", "c": "x ${K}",
    }  # fmt: skip


def test_a_parameter_that_cannot_hold_one_refuses_it(
    compiled: Compile, shop: System, wrong: Callable[..., str]
) -> None:
    with pytest.raises(ExpressionError, match="note cannot hold a secret"):
        parameters(
            compiled, shop, '```op\npostgres.end_queries: {of: database, note: "{{ t }}"}\n```', t=Secret("${T}")
        )
    told = wrong("```op\npostgres.end_queries: {of: database, note: '${T}'}\n```", front=PARAMS)
    assert "note of postgres.end_queries cannot hold a secret" in told and "^^^^" in told
    # There it is plain text: a key may well begin so.
    assert parameters(compiled, shop, "```op\npostgres.end_queries: {of: database, note: 'file:x'}\n```")


def test_a_body_holds_its_secrets_apart_and_no_text_can_stand_for_one() -> None:
    assert _body({"b": '"', "k": SecretReference("${K}")}) == [
        '{"b": "\\"", "k": ', {"secret": "${K}", "as": "json"}, "}",
    ]  # fmt: skip
    assert _body({"secret": "${K}", "as": "json"}) == '{"secret": "${K}", "as": "json"}'


def test_secrets_are_told_apart_and_put_back_in() -> None:
    data = {"args": ["a", SecretReference("${K}")], "kwargs": {"x/y~z": SecretReference("file:k"), "plain": "${K}"}}
    shown, places = told_apart(data)
    assert json.loads(json.dumps(shown)) == {"args": ["a", "${K}"], "kwargs": {"x/y~z": "file:k", "plain": "${K}"}}
    assert places == {"/args/1": "${K}", "/kwargs/x~1y~0z": "file:k"}
    values = {place: f"value of {reference}" for place, reference in places.items()}
    assert put_in(shown, values)["kwargs"] == {"x/y~z": "value of file:k", "plain": "${K}"}
    assert put_in(shown["args"], values, "/args") == ["a", "value of ${K}"]


async def test_whoever_shows_output_hears_of_a_secret_before_it_is_used(shop: System, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the-value\n")
    heard: list[str] = []
    with heard_by(heard.extend):
        assert await resolve(shop, {"k": f"file:{tmp_path}/key"}) == {"k": "the-value"}
        await resolve(shop, {"address": f"file:{tmp_path}/key"}, secret=False)
    await resolve(shop, {"k": f"file:{tmp_path}/key"})
    assert heard == ["the-value"]
