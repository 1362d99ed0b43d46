"""YAML with places: every key and value is where the file says it is."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.positions import Place, Unreadable, dotted, read_yaml

TEXT = """\
opsbook: 1
components:
  api: {kind: http, url: ${API_URL}, replicas: 3}   # a comment
  'the cache':
    url: "redis://${HOST:-localhost}/0"
    depends_on: [api,
                 database]
checks:
- {id: a, with: {on: 12:30, off: no}}
-   id: b
    text: |
      two
      lines
"""


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("opsbook",), (1, 1), (1, 10)),
        (("components",), (2, 1), (3, 3)),
        (("components", "api"), (3, 3), (3, 8)),
        (("components", "api", "url"), (3, 21), (3, 26)),
        (("components", "api", "replicas"), (3, 38), (3, 48)),
        (("components", "the cache"), (4, 3), (5, 5)),
        (("components", "the cache", "depends_on", 1), (7, 18), (7, 18)),
        (("checks", 0, "with", "on"), (9, 18), (9, 22)),
        (("checks", 1), (10, 5), (10, 5)),
        (("checks", 1, "id"), (10, 5), (10, 9)),
    ],
)
def test_it_knows_where_each_key_and_value_stands(
    path: tuple[str | int, ...], key: tuple[int, int], value: tuple[int, int]
) -> None:
    located = read_yaml(TEXT, "book.yaml")
    assert (located.key(path), located.value(path)) == (Place(*key), Place(*value))


def test_what_is_missing_is_placed_at_what_it_is_missing_in() -> None:
    located = read_yaml(TEXT, "book.yaml")
    assert located.value(("components", "api", "dsn", "x")) == Place(3, 8)
    assert read_yaml("", "book.yaml").value(("a",)) == Place(1, 1)


def test_scalars_are_what_people_expect() -> None:
    data = read_yaml(TEXT, "book.yaml").data
    assert data["opsbook"] == 1
    assert data["components"]["api"] == {"kind": "http", "url": "${API_URL}", "replicas": 3}
    assert data["checks"][0]["with"] == {"on": "12:30", "off": "no"}
    assert data["checks"][1]["text"] == "two\nlines\n"
    assert read_yaml("[1, 010, 0x10, 1.5, .5, 1e3, -2, true, ~, '1', null, yes]", "f").data == [
        1, 10, 16, 1.5, 0.5, 1000.0, -2, True, None, "1", None, "yes",
    ]  # fmt: skip


def test_a_bare_reference_may_stand_inside_braces_and_brackets() -> None:
    text = "a: {b: ${X}, c: 'x${Y}', d: redis://${H:-localhost}:1/${N}, e: [${Z}, ${W}]}"
    located = read_yaml(text, "f")
    assert located.data["a"]["b"] == "${X}"
    assert located.data["a"]["d"] == "redis://${H:-localhost}:1/${N}"
    assert located.data["a"]["e"] == ["${Z}", "${W}"]
    assert located.value(("a", "e", 1)) == Place(1, text.index("${W}") + 1)


def test_all_that_is_wrong_with_the_keys_is_told_at_once_and_the_rest_is_read() -> None:
    with pytest.raises(Unreadable) as raised:
        read_yaml("a: 1\na: 2\nb: {c: 1, c: 2}\n? [x]\n: 1\nd: !secret x\n", "f")
    assert [(p.place, p.key) for p in raised.value.problems] == [
        (Place(2, 1), "a"),
        (Place(3, 11), "b.c"),
        (Place(4, 3), ""),
        (Place(6, 4), "d"),
    ]
    assert raised.value.located is not None
    assert raised.value.located.data == {"a": 1, "b": {"c": 1}, "d": "x"}


def test_anchors_and_merges_keep_the_places_of_what_was_written() -> None:
    located = read_yaml("base: &base {for: 5m, of: api}\nchecks:\n- {of: db, <<: *base}\n", "f")
    assert located.data["checks"] == [{"for": "5m", "of": "db"}]
    assert located.key(("checks", 0, "of")) == Place(3, 4)
    assert located.key(("checks", 0, "for")) == Place(1, 14)


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("a: {w: > 5}", (1, 8), "cannot begin with a bare >", "quote it"),
        ("w: > 5", (1, 4), "cannot begin with a bare >", "quote it"),
        ("w: |x", (1, 4), "cannot begin with a bare |", "quote it"),
        ("cron: * * * * *", (1, 7), "needs a name after it", "quote the value"),
        ("a: *nobody", (1, 4), "no anchor of this name", "quote the value"),
        ("a: @x", (1, 4), "cannot begin with '@'", "quote the value"),
        ("a: `x`", (1, 4), "cannot begin with '`'", "quote the value"),
        ("a: x: y", (1, 5), "a ': ' that does not belong here", "quote the value"),
        ("a: 'x\nb: 1", (1, 4), "never closed", "close it"),
        ("a: [1,\nb: 2", (1, 4), "a [ is opened here", "close it with ]"),
        ("a: [", (1, 4), "a [ is opened here and not closed", "close it with ]"),
        ("a: {b: [1], c: [", (1, 16), "a [ is opened here and not closed", "close it with ]"),
        ("a: [1, , 2]", (1, 8), "a value is missing here", "check"),
        ("a:\n\tb: 1", (2, 1), "a tab is used", "indent with spaces"),
        ("a:\n  b: 1\n\tc: 2", (3, 1), "a tab is used", "indent with spaces"),
        ("a: 1\n---\nb: 2", (2, 1), "a second document", "remove the line"),
        ("a: x\x1b[0m", (1, 5), "U+001B", "remove it"),
        ("  a: 1\nb: 2", (2, 1), "indented less", "same column"),
        ("{{ x }}: 1", (1, 1), "must be plain text", "quote"),
        ("<<: 5", (1, 5), "merges mappings only", "anchor of a mapping"),
        ("[" * 100_000, (1, 1), "nested too deeply", "a few levels"),
        ("- " * 5000 + "x", (1, 1), "nested too deeply", "a few levels"),
        ("a: &x [*x]", (1, 1), "unfold without end", "write the repeated parts out"),
    ],
)
def test_it_says_what_is_wrong_with_the_text(text: str, place: tuple[int, int], message: str, hint: str) -> None:
    with pytest.raises(Unreadable) as raised:
        read_yaml(text, "f")
    (problem,) = raised.value.problems
    assert problem.place == Place(*place)
    assert message in problem.message
    assert hint in problem.hint


def test_aliases_that_explode_are_cut() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(Unreadable, match="unfold without end"):
        read_yaml("\n".join(lines), "f")


LEAVES = st.integers(-99, 99) | st.booleans() | st.none() | st.text("abc äé{}$:#-\"'\n", max_size=8)
KEYS = st.text("abcxyz", min_size=1, max_size=4)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner), max_leaves=15)


@given(st.dictionaries(KEYS, TREES), st.booleans())
def test_it_reads_what_others_write(tree: object, flow: bool) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    assert read_yaml(text, "f").data == tree


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        read_yaml(text, "f")
    except Unreadable as error:
        assert all(problem.message and problem.hint for problem in error.problems)


def test_a_path_is_written_as_people_write_it() -> None:
    assert dotted(("checks", 3, "with", "path")) == "checks[3].with.path"
