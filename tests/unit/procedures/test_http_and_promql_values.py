"""Values in requests and queries are encoded by their place, or refused."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.engine.expressions import ExpressionError, Secret
from opsbook.engine.http_values import fill_request, read_request
from opsbook.engine.promql_values import compile_query, fill_query

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=200)


def filled(written: str, /, **names: Any) -> dict[str, Any]:
    request, mistakes = read_request(written, True)
    assert not mistakes
    return fill_request(request.as_json(), names)


@given(TEXT.filter(lambda value: value not in ("", ".", "..")), TEXT)
def test_a_url_carries_values_whole(part: str, query: str) -> None:
    url = filled("GET /a/{{ part }}/b?q={{ query }}&r=1", part=part, query=query)["url"]
    assert url.isascii()
    pieces = urlsplit(url)
    assert [unquote(one) for one in pieces.path.split("/")] == ["", "a", part, "b"]
    assert parse_qs(pieces.query, keep_blank_values=True) == {"q": [query], "r": ["1"]}


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_value_cannot_climb_in_a_path(value: str) -> None:
    with pytest.raises(ExpressionError):
        filled("DELETE /a/{{ v }}/b", v=value)
    assert filled("GET /a/x{{ v }}", v=value)["url"] == f"/a/x{value}"


@given(TEXT, st.recursive(TEXT | st.integers() | st.booleans() | st.none(), lambda inner: st.lists(inner, max_size=3)))
def test_a_json_body_carries_values_whole(text: str, value: Any) -> None:
    request = filled(
        'POST /x\n\n{"in": "a {{ text }} b", "{{ text }}!": 1, "bare": {{ value }}}', text=text, value=value
    )
    assert json.loads(request["body"]) == {"in": f"a {text} b", f"{text}!": 1, "bare": value}


@given(TEXT)
def test_forms_and_xml_carry_values_whole(text: str) -> None:
    form = filled("POST /x\nContent-Type: application/x-www-form-urlencoded\n\na={{ v }}&b=1", v=text)
    assert parse_qs(form["body"], keep_blank_values=True) == {"a": [text], "b": ["1"]}
    try:
        xml = filled('POST /x\nContent-Type: text/xml\n\n<a b="{{ v }}">{{ v }}</a>', v=text)
    except ExpressionError:
        return
    assert (ElementTree.fromstring(xml["body"]).text or "") == text


@given(TEXT)
def test_a_header_is_one_line_or_refused(text: str) -> None:
    try:
        value = filled("GET /x\nX-Note: {{ v }}", v=text)["headers"]["X-Note"]
    except ExpressionError:
        return
    assert value == text
    assert not set(value) & set("\r\n\0")


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\0", " a", "ü€", "x" * 9000])
def test_it_refuses_values_that_no_header_carries(value: str) -> None:
    with pytest.raises(ExpressionError):
        filled("GET /x\nX-Note: {{ v }}", v=value)


def test_a_secret_is_a_reference_with_its_encoding() -> None:
    request = filled('POST /x/{{ t }}\nAuthorization: Bearer {{ t }}\n\n{"t": "{{ t }}"}', t=Secret("${TOKEN}"))
    assert request["url"] == ["/x/", {"secret": "${TOKEN}", "as": "url"}]
    assert request["headers"]["Authorization"] == ["Bearer ", {"secret": "${TOKEN}", "as": "header"}]
    assert request["body"][1] == {"secret": "${TOKEN}", "as": "json-text"}


WRONG = [
    ("GET https://{{ h }}/x", False),
    ("GET https://h{{ h }}/x", False),
    ("GET {{ u }}", False),
    ("GET https://user:pw@h/x", False),
    ("GET x", True),
    ("GET /x#y", True),
    ("GET /a b", True),
    ("GET /x\nno header", True),
    ("GET /x\nHost: other", True),
    ("GET /x\nA: 1\na: 2", True),
    ("GET /x\n\nbody", True),
    ("POST /x\n\n{{ v }}", True),
    ("POST /x\nContent-Type: application/sql\n\n{{ v }}", True),
    ('POST /x\n\n{"a": {{ v }} 1}', True),
    ("", True),
]


@pytest.mark.parametrize(("text", "based"), WRONG)
def test_it_refuses_requests_that_are_none(text: str, based: bool) -> None:
    mistakes = read_request(text, based)[1]
    assert mistakes and all(mistake.message and mistake.hint for mistake in mistakes)


@given(TEXT)
def test_a_label_of_promql_carries_values_whole(text: str) -> None:
    import promql_parser

    query = fill_query('up{instance="{{ v }}"}', {"v": text})
    matchers = promql_parser.parse(query).matchers.matchers
    assert [matcher.value for matcher in matchers] == [text]


@pytest.mark.parametrize("value", ["1 or up", "5m]) or vector(1", "inf", "", "up"])
def test_outside_quotes_promql_takes_numbers_and_durations_only(value: str) -> None:
    with pytest.raises(ExpressionError):
        fill_query("rate(x[{{ v }}])", {"v": value})


def test_it_fills_numbers_and_durations() -> None:
    assert fill_query("rate(x[{{ w }}]) > {{ n }}", {"w": "5m", "n": 1.5}) == "rate(x[5m]) > 1.5"
    assert compile_query("up{a=`{{ v }}`}") and compile_query("up # {{ v }}") and compile_query(" ")
