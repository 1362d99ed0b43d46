"""What a person gives becomes typed, checked values; every mistake is told at once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.procedures.conftest import Compile

from opsbook.book.system import System
from opsbook.engine.expressions import Secret
from opsbook.engine.parameters import WrongParameters, names_of_parameters, parse_parameters, read_parameters_file
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
    values = read_parameters_file("name: y\nn: 8\nsure: true\n", "p.yaml")
    parsed = parse_parameters(procedure, ["n=9"], shop, values)
    assert (parsed["name"], parsed["n"], parsed["sure"]) == ("y", 9, True)
    with pytest.raises(WrongParameters):
        read_parameters_file("- a\n", "p.yaml")


def test_expressions_see_a_secret_as_one(procedure: Procedure, shop: System) -> None:
    names = names_of_parameters(procedure, parse_parameters(procedure, ["name=x"], shop))
    assert names["token"] == Secret("${TOKEN}") and names["name"] == "x"
