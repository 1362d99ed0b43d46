"""Small pure parts of operations: settings' values, globs, placeholders, banners, names."""

from __future__ import annotations

from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.errors import Refused
from opsbook.operations.maintenance import include_of
from opsbook.operations.postgres_queries import explaining, placeholders
from opsbook.operations.postgres_roles import _create
from opsbook.operations.postgres_values import stored
from opsbook.operations.redis_keys import matcher
from opsbook.operations.statements import literal, quoted


def row(kind: str, unit: str | None = None, low: str = "-1", high: str = "2147483647", words: object = None) -> dict:  # type: ignore[type-arg]
    return {"name": "x", "vartype": kind, "unit": unit, "min_val": low, "max_val": high, "enumvals": words}


@pytest.mark.parametrize(
    ("setting", "written", "read"),
    [
        (row("integer", "kB"), "16MB", "16384"),
        (row("integer", "8kB"), "1GB", "131072"),
        (row("integer", "8kB"), "100", "100"),
        (row("integer", "MB"), "1 TB", "1048576"),
        (row("integer", "ms"), "1.5min", "90000"),
        (row("integer", "s"), "2h", "7200"),
        (row("integer", "min"), "1d", "1440"),
        (row("integer", "B"), "1kB", "1024"),
        (row("integer"), "-1", "-1"),
        (row("integer"), "0x1F", "31"),
        (row("real", None, "0", "1"), ".9", "0.9"),
        (row("real", "ms", "-1", "100"), "1s", None),
        (row("real", "ms", "-1", "10000"), "1s", "1000"),
        (row("integer", "kB"), "16Mb", None),
        (row("integer"), "10s", None),
        (row("integer"), "ten", None),
        (row("bool"), "TRUE", "on"),
        (row("bool"), "of", "off"),
        (row("bool"), "o", None),
        (row("bool"), "", None),
        (row("enum", words=["replica", "logical"]), "Logical", "logical"),
        (row("enum", words=["off", "on", "try"]), "yes", "on"),
        (row("enum", words=["replica"]), "minimal", None),
        (row("string"), "as it is", "as it is"),
    ],
)
def test_a_value_is_stored_as_the_server_would(setting: dict, written: str, read: str | None) -> None:  # type: ignore[type-arg]
    if read is None:
        with pytest.raises(Refused):
            stored(setting, written)
    else:
        assert stored(setting, written) == read


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("api:*", ["api:", "api:1", "api:\n"], ["xapi:1", "ap"]),
        ("h?llo", ["hello"], ["hllo", "heello"]),
        ("h[ae]llo", ["hallo"], ["hillo"]),
        ("h[^e]llo", ["hallo"], ["hello"]),
        ("h[a-b]llo", ["hbllo"], ["hcllo"]),
        ("h\\*llo", ["h*llo"], ["hello"]),
        ("a.b+(c", ["a.b+(c"], ["axb+(c"]),
        ("cel[", [], ["cel", "cel["]),  # a class that does not end matches nothing
    ],
)
def test_globs_are_redis_own(pattern: str, matches: list[str], misses: list[str]) -> None:
    glob = matcher(pattern)
    assert all(glob.fullmatch(key) for key in matches)
    assert not any(glob.fullmatch(key) for key in misses)


@given(st.text(max_size=30))
def test_every_pattern_is_a_glob(pattern: str) -> None:
    matcher(pattern).fullmatch("celery")


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("SELECT 1", 0),
        ("SELECT $1, $12", 12),
        ("SELECT '$9', \"$8\", $$ $7 $$, $1 -- $6", 1),
        ("SELECT a$5, $2", 2),
    ],
)
def test_placeholders_are_counted_outside_of_quotes(sql: str, count: int) -> None:
    assert placeholders(sql) == count
    said = explaining(sql)
    assert isinstance(said, str) is (count == 0)


@given(st.text(min_size=1, max_size=300))
def test_a_banner_holds_any_text_and_never_commands_of_nginx(message: str) -> None:
    include = include_of("title", message, 60)
    (page,) = [line for line in include.splitlines() if line.startswith("return 503")]
    inside = page.removeprefix('return 503 "').removesuffix('";')
    assert not set(inside) & set('"\\$;{}') - {";", "{", "}"}
    assert include.count("\n") == 6
    body = unescape(inside.rpartition("<p>")[2].removesuffix("</p>"))
    assert body == unescape("".join(one for one in message if one.isprintable() or one in "\n\t")) or "&" in message


@given(st.text(min_size=1, max_size=40))
def test_names_and_texts_never_leave_their_quotes(text: str) -> None:
    assert quoted(text)[1:-1].replace('""', "").count('"') == 0
    if "\0" not in text:
        assert literal(text)[1:-1].replace("''", "").count("'") == 0
    made = _create(quoted(text))
    tag = made.split(" ")[1]
    assert made.count(tag) == 2
