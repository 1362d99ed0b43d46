"""What a person gives becomes typed, checked values; every mistake is told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.procedures.conftest import Compile

from opsbook.book.system import System
from opsbook.engine.expressions import Secret
from opsbook.engine.parameters import names_of_parameters, parse_parameters
from opsbook.engine.parameters_file import WrongParameters, parameters_of, read_parameters_file
from opsbook.engine.procedure import Procedure

FRONT = """params:
  name: text
  n: {type: int, default: 3}
  share: {type: float, default: 0.5}
  sure: {type: bool, default: false}
  age: {type: duration, default: 90m}
  size: {type: size, default: 512MB}
  part: {type: ratio, default: 80%}
  how: {choices: [soft, hard], default: soft}
  of: {type: component, default: api}
  token: {type: secret, default: "${TOKEN}"}
"""
STEP = "```check\napi-up\n```\n"


@pytest.fixture
def procedure(compiled: Compile) -> Procedure:
    return compiled(STEP, front=FRONT)


def test_it_takes_defaults(procedure: Procedure, shop: System) -> None:
    assert parse_parameters(procedure, ["name=x"], shop) == {
        "name": "x", "n": 3, "share": 0.5, "sure": False, "age": "1h30m", "size": "512MB", "part": "80%", "how": "soft",
        "of": "api", "token": "${TOKEN}",
    }  # fmt: skip


VALUES = [
    ("name=a=b", "a=b"), ("name=", ""), ("n=-7", -7), ("share=2", 2.0), ("sure=yes", True), ("age=2d", "2d"),
    ("size=4 GiB", "4GiB"), ("part=5%", "5%"), ("how=hard", "hard"), ("of=cache", "cache"),
    ("token=file:key", "file:key"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "value"), VALUES)
def test_it_reads_words(procedure: Procedure, shop: System, word: str, value: Any) -> None:
    name = word.partition("=")[0]
    given = [word] if name == "name" else ["name=x", word]
    assert parse_parameters(procedure, given, shop)[name] == value


WRONG = [
    ("n=99999999999999999999", "too large for a whole number"), ("share=1e999", "is not a number"),
    ("share=-inf", "is not a number"), ("age=200y", "too long"), ("age=" + "9" * 150 + "d", "too long"),
    ("size=99999999999TiB", "too large"), ("part=99999999999%", "too large"),
    ("n=1.5", "is not a whole number"), ("n=1_0", "is not a whole number"), ("share=nan", "is not a number"),
    ("sure=maybe", "neither true nor false"), ("age=5", "no duration"), ("age=-5m", "negative"),
    ("size=5m", "is no size"),
    ("part=5", "is no ratio"), ("how=gently", "there is no choice 'gently'"), ("of=apii", "did you mean 'api'?"),
    ("token=hunter2", "a secret is given as a reference"), ("token=cmd:rm -rf /", "a secret is given as a reference"),
    ("nmae=x", "did you mean 'name'?"), ("name", "write name=value"), ("name=" + "x" * 2_000_000, "too long"),
    ("name=\ud800", "not valid UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "message"), WRONG, ids=[word[:20].encode("ascii", "replace").decode() for word, _ in WRONG]
)
def test_it_says_what_is_wrong_with_a_word(procedure: Procedure, shop: System, word: str, message: str) -> None:
    with pytest.raises(WrongParameters) as caught:
        parse_parameters(procedure, [word], shop)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_it_never_shows_a_literal_secret(procedure: Procedure, shop: System) -> None:
    with pytest.raises(WrongParameters) as caught:
        parse_parameters(procedure, ["name=x", "token=hunter2"], shop)
    assert "hunter2" not in str(caught.value)


def test_it_tells_all_mistakes_at_once(procedure: Procedure, shop: System) -> None:
    with pytest.raises(WrongParameters) as caught:
        parse_parameters(procedure, ["n=x", "how=y", "nobody=1"], shop)
    for part in ("n: ", "how: ", "no parameter 'nobody'", "the parameter 'name' is missing"):
        assert part in str(caught.value)


def test_words_win_over_the_file_and_the_file_over_defaults(procedure: Procedure, shop: System) -> None:
    values = parameters_of("name: y\nn: 8\nsure: true\n", "p.yaml")
    parsed = parse_parameters(procedure, ["n=9"], shop, values)
    assert (parsed["name"], parsed["n"], parsed["sure"]) == ("y", 9, True)
    with pytest.raises(WrongParameters):
        parameters_of("- a\n", "p.yaml")


def test_expressions_see_a_secret_as_one(procedure: Procedure, shop: System) -> None:
    names = names_of_parameters(procedure, parse_parameters(procedure, ["name=x"], shop))
    assert names["token"] == Secret("${TOKEN}") and names["name"] == "x"


BOUNDS = """params:
  n: {type: int, default: 3, min: 1, max: 10}
  share: {type: float, default: 0.5, max: 1}
  age: {type: duration, default: 5m, min: 90s, max: 1h}
  size: {type: size, default: 1MB, max: 1GiB}
  name: {default: web-1, pattern: "[a-z]+-[0-9]+", doc: a host}
"""


@pytest.fixture
def bounded(compiled: Compile) -> Procedure:
    return compiled(STEP, front=BOUNDS)


@pytest.mark.parametrize("word", ["n=1", "n=10", "share=1", "age=90s", "age=60m", "size=1024MiB", "name=db-22"])
def test_a_value_on_its_bound_is_taken(bounded: Procedure, shop: System, word: str) -> None:
    assert parse_parameters(bounded, [word], shop)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("n=0", "n: 0 is less than 1\n  → give at least 1"), ("n=11", "11 is more than 10"),
        ("share=1.5", "1.5 is more than 1.0"), ("age=1m", "1m is less than 1m30s"), ("age=2h", "2h is more than 1h"),
        ("size=2GiB", "2GiB is more than 1GiB"), ("name=web", "'web' does not match [a-z]+-[0-9]+"),
        ("name=web-1\n", "does not match"), ("name=x web-1", "does not match"),
        ("name=" + "a" * 10_000 + "-1", "does not match"),
    ],
)  # fmt: skip
def test_a_value_out_of_its_bounds_is_refused(bounded: Procedure, shop: System, word: str, message: str) -> None:
    with pytest.raises(WrongParameters) as caught:
        parse_parameters(bounded, [word], shop)
    assert message in str(caught.value) and len(str(caught.value)) < 300
    assert caught.value.exit_code == 2


def test_a_pattern_that_would_take_for_ever_elsewhere_does_not(compiled: Compile, shop: System) -> None:
    wild = compiled(STEP, front="params: {name: {default: a, pattern: '(a+)+(a|a)*(a*a*a*)*'}}\n")
    with pytest.raises(WrongParameters, match="does not match"):
        parse_parameters(wild, ["name=" + "a" * 9_000 + "b"], shop)


FILES = [
    ("p.yaml", "n: 3\nshare: wide\n", "p.yaml:2:8: share: 'wide' is not a number"),
    ("p.yaml", "n: 3\nshare: .nan\n", "p.yaml:2:8: share: 'nan' is not a number"),
    ("p.yaml", "n: [1]\n", "p.yaml:1:4: n: a list or mapping cannot be a parameter"),
    ("p.yaml", "n: 1e300\n", "p.yaml:1:4: n: 1"),
    ("p.yaml", "n:\n", "p.yaml:1:3: n: a value is missing"),
    ("p.yaml", "1: 2\n", "p.yaml:1:4: tidy-up has no parameter '1'"),
    ("p.yaml", "n: 1\nn: 2\n", "p.yaml:2:1: n: the key 'n' stands here twice"),
    ("p.yaml", "", "p.yaml:1:1: a mapping of parameters was expected, and it is empty"),
    ("p.json", '{"n": 3,\n "age": 5}', "p.json:2:9: age: 5 has no unit"),
    ("p.json", '{"n": Infinity}', "p.json:1:7: n: inf is not a whole number"),
    ("p.json", '{"n": 3,}', "p.json:1:9: "),
    ("p.json", '{"n": 3, "n": 4}', "p.json:1:15: the key 'n' stands here twice"),
    ("p.json", "[3]", "p.json:1:1: a mapping of parameters was expected, and it is a list"),
]


@pytest.mark.parametrize(("file", "text", "message"), FILES)
def test_what_is_wrong_with_a_file_is_said_at_its_place(
    bounded: Procedure, shop: System, file: str, text: str, message: str
) -> None:
    with pytest.raises(WrongParameters) as caught:
        parse_parameters(bounded, [], shop, parameters_of(text, file))
    assert message in str(caught.value)


def test_json_is_read_as_json(bounded: Procedure, shop: System, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{\n\t"name": "web-\\u0031", "share": 1e-1\n}')
    assert parse_parameters(bounded, [], shop, read_parameters_file(path))["share"] == 0.1
    path.write_bytes(b"ok\n\xff")
    with pytest.raises(WrongParameters, match=r"p\.json:2: it is not UTF-8"):
        read_parameters_file(path)
