"""Expressions are Jinja's, over plain data alone, bounded in size and work."""

from __future__ import annotations

from typing import Any

import pytest

from opsbook.engine.expressions import (
    ExpressionError,
    NotThere,
    Secret,
    evaluate,
    holds,
    names_of,
    paths_below,
    saved_of,
)
from opsbook.engine.templates import Template, UnclosedTemplate, expressions_of, fill_text, templates, text_of

NAMES: dict[str, Any] = {
    "rows": 2,
    "records": [{"pid": 7, "items": [1, 2]}],
    "older_than": "5m",
    "saved": {"found": {"rows": 3}},
    "token": Secret("${TOKEN}"),
}

VALUES = [
    ("rows == 2", True),
    ("rows * 2 + 1", 5),
    ("records[0].pid", 7),
    ("records[0].items | length", 2),
    ("saved.found.rows > 2 and not records | length == 0", True),
    ("older_than | seconds", 300.0),
    ("'512MB' | bytes", 512e6),
    ("'80%' | fraction", 0.8),
    ("records | map(attribute='pid') | list", [7]),
    ("'a,b'.split(',')", ["a", "b"]),
    ("missing | default(4)", 4),
    ("'x' if rows else 'y'", "x"),
]


@pytest.mark.parametrize(("expression", "value"), VALUES)
def test_it_evaluates(expression: str, value: object) -> None:
    assert evaluate(expression, NAMES) == value


REFUSED = [
    "''.__class__",
    "().__class__.__bases__",
    "records.__init__.__globals__",
    "'{0.__class__}'.format(rows)",
    "'%99999999d' % 1",
    "'a' * 99999999999",
    "rows * ('a' * 9999999) * 9",
    "9 ** 9 ** 9 ** 9",
    "records | attr('pop')",
    "records.pop()",
    "records.append(1)",
    "range(9999999999)",
    "lipsum()",
    "cycler('a')",
    "self",
    "records[0].items()",
    "'a'.center(99999999999)",
    "'a' | center(99999999999)",
    "rows | tojson",
    "rows; 1",
    "rows }} {{ rows",
    "{% if rows %}",
    "",
    "(" * 2000 + "1" + ")" * 2000,
    "'a' ~ token",
    "older_than | bytes",
]


@pytest.mark.parametrize("expression", REFUSED)
def test_it_refuses_what_reaches_out_or_grows(expression: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(expression, NAMES)
    assert caught.value.exit_code == 2
    assert len(str(caught.value)) < 10_000


def test_it_says_which_name_has_no_value_and_the_nearest() -> None:
    with pytest.raises(NotThere) as caught:
        evaluate("older_then", NAMES)
    assert "'older_then' is undefined" in str(caught.value)
    assert "did you mean 'older_than'?" in str(caught.value)


def test_it_hands_a_secret_on_only_as_a_whole() -> None:
    assert evaluate("token", NAMES) == Secret("${TOKEN}")
    for text in ("Bearer {{ token }}", "{{ token ~ 'x' }}", "{{ token | upper }}", "{{ token | length }}"):
        with pytest.raises(ExpressionError):
            fill_text(text, NAMES)


def test_it_knows_what_an_expression_reads() -> None:
    assert names_of("a.b > c | default(d)") == {"a", "c", "d"}
    assert saved_of("saved.found.rows > found2 and other", ["found", "found2"]) == {"found", "found2"}
    assert paths_below("facts.postgres.lag > 3 or facts['api'].http.up", "facts") == {
        ("postgres", "lag"),
        ("api", "http", "up"),
    }


def test_an_empty_condition_holds() -> None:
    assert holds("", {})
    assert not holds("rows > 2", NAMES)


def test_it_cuts_a_text_at_its_templates() -> None:
    text = "a {{ x }} b {{ {'k': {'l': '}}'}}['k'] }}"
    assert templates(text) == (
        "a ",
        Template("x", 2, 9),
        " b ",
        Template("{'k': {'l': '}}'}}['k']", 12, 41),
    )
    assert expressions_of(text)[0] == "x"


def test_it_takes_a_quoted_template_for_the_text_in_it() -> None:
    assert templates("{{ '{{' }}.State}}") == ("{{", ".State}}")


def test_it_says_where_a_template_is_not_closed() -> None:
    with pytest.raises(UnclosedTemplate) as caught:
        templates("abc {{ x }")
    assert caught.value.offset == 4


def test_a_single_template_keeps_the_type_of_its_value() -> None:
    assert fill_text("{{ rows }}", NAMES) == 2
    assert fill_text("n={{ rows }} {{ records[0].items }}", NAMES) == "n=2 [1, 2]"
    assert (text_of(True), text_of(1.5), text_of("x")) == ("true", "1.5", "x")
    with pytest.raises(NotThere):
        fill_text("a {{ nothing }}", {"nothing": None})
