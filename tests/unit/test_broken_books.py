"""Books that are wrong: each is refused with the place, what is wrong and the next step, never with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsbook.book.load import InvalidBook, load_book, validate
from opsbook.book.model import BookModel
from opsbook.book.positions import read_yaml
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.errors import OpsbookError

BROKEN = Path(__file__).parent / "book" / "broken"

PROBLEMS = {
    "a_list": [
        ("1:1", "", "a book is a mapping of keys", "begin with `opsbook: 1`, or run `opsbook init`"),
    ],
    "bad_yaml": [
        ("4:15", "", "a { is opened here and not closed", "close it with }"),
    ],
    "cron": [
        ("9:43", "backups[0].schedule", "'daily' is not a cron line of five fields", 'write one such as "0 3 * * *"'),
    ],
    "cycle": [
        (
            "6:3",
            "components.database",
            "depends on itself: database → cache → database",
            "remove one of these dependencies",
        ),
    ],
    "duplicate_id": [
        ("10:10", "checks[1].id", "the id 'cache-up' is already taken by checks[0]", "give each its own id"),
    ],
    "duplicate_key": [
        ("9:1", "system", "the key 'system' stands here twice", "the first is in line 2; keep one"),
    ],
    "duration_without_unit": [
        ("9:68", "checks[0].for", "300 has no unit", "expected a duration such as '5m'"),
    ],
    "empty": [
        ("1:1", "", "the book is empty", "begin with `opsbook: 1`, or run `opsbook init`"),
    ],
    "empty_value": [
        ("2:8", "system", "there is no value", "expected text; write one, or remove the key"),
    ],
    "list_expected": [
        ("9:3", "checks", "expected a list", "write `[a, b]`, or lines that begin with `- `"),
    ],
    "many_at_once": [
        ("9:24", "checks[0].observe", "there is no observation named 'redis.upp'", "did you mean 'redis.up'?"),
        (
            "10:55",
            "checks[1].critical",
            "'parsecs' in '5 parsecs' is not a unit",
            "known are ms s m h d w y, B kB MB GB TB KiB MiB GiB TiB, % and /s",
        ),
        ("11:40", "checks[2].of", "there is no component named 'chache'", "did you mean 'cache'?"),
        ("11:77", "checks[2].interval", "1 has no unit", "expected a duration such as '5m'"),
        ("12:10", "checks[3].id", "the id 'one' is already taken by checks[0]", "give each its own id"),
        (
            "13:30",
            "objectives.database.rto",
            "'two hours' is not a value with a unit",
            "expected a duration such as '5m'",
        ),
        ("13:42", "objectives.datbase", "there is no component named 'datbase'", "did you mean 'database'?"),
    ],
    "missing_component": [
        ("9:37", "checks[0].of", "there is no component named 'cahce'", "did you mean 'cache'?"),
    ],
    "missing_key": [
        ("6:3", "components.database.dsn", "the key 'dsn' is missing", "add `dsn:` here"),
    ],
    "misspelt_unit": [
        ("9:68", "checks[0].for", "'mn' in '5mn' is not a unit", "did you mean 'min'?"),
    ],
    "name_in_capitals": [
        (
            "6:3",
            "components.Main Cache",
            "a name has lower-case letters, digits, '-', '_' and '.', and begins with a letter or digit",
            "write 'main-cache'",
        ),
    ],
    "no_kind": [
        ("6:13", "components.database", "the key 'kind' is missing", "add `kind:` here; it says what this is"),
    ],
    "no_threshold": [
        ("9:5", "checks[0]", "a check needs `warning` or `critical`", 'add a threshold, such as `critical: "> 80"`'),
    ],
    "no_unit": [
        (
            "12:15",
            "checks[0].critical",
            "'> 10' is a count, but this observation yields a duration (200ms, 5m, 2h, 7d)",
            'write "> 10s"; see `opsbook observations postgres.replication_lag`',
        ),
    ],
    "nobody_to_notify": [
        (
            "10:25",
            "escalation[0].notify",
            "there is no channel, rotation or contact named 'oncall'",
            "did you mean 'on-call'?",
        ),
    ],
    "other_version": [
        ("1:10", "opsbook", "2 is not a version of this format that opsbook knows", "write `opsbook: 1`"),
    ],
    "override_of_nothing": [
        (
            "6:7",
            "environments.production.components.databse",
            "there is no component named 'databse'",
            "did you mean 'database'?",
        ),
    ],
    "override_with_wrong_unit": [
        (
            "7:23",
            "environments.staging.checks.lag.critical",
            "'> 5%' is a ratio, but this observation yields a duration (200ms, 5m, 2h, 7d)",
            'write "> 200ms"; see `opsbook observations postgres.replication_lag`',
        ),
    ],
    "policy": [
        ("4:24", "environments.production.policy", "there is no policy named 'strikt'", "did you mean 'strict'?"),
    ],
    "quote_not_closed": [
        ("6:29", "", "a quote is opened here and never closed", "close it"),
    ],
    "reference_not_closed": [
        (
            "6:29",
            "components.cache.url",
            "redis://${HOST:6379/0 has a `${` that is no reference",
            "write ${NAME} or ${NAME:-default}",
        ),
    ],
    "reference_without_braces": [
        ("6:29", "components.cache.url", "'$REDIS_URL' is not a reference", "write ${REDIS_URL}"),
    ],
    "runtime": [
        (
            "4:44",
            "environments.production.runtime.namespce",
            "the key 'namespce' is not known here",
            "did you mean 'namespace'?",
        ),
    ],
    "synonym_of_a_key": [
        ("10:5", "checks[0].metric", "the key 'metric' is not known here", "did you mean 'observe'?"),
    ],
    "tab": [
        ("4:1", "", "a tab is used for indentation", "indent with spaces"),
    ],
    "threshold_not_quoted": [
        (
            "12:15",
            "",
            "a value cannot begin with a bare >",
            'quote it, as in `warning: "> 200ms"`: a bare > or | begins a block of text in YAML',
        ),
    ],
    "threshold_of_a_state": [
        (
            "9:54",
            "checks[0].critical",
            "'> 80%' is a ratio, but this observation yields a state (up or down)",
            'write "is down"; see `opsbook observations redis.up`',
        ),
    ],
    "threshold_without_direction": [
        (
            "9:74",
            "checks[0].critical",
            "'10s' does not say in which direction values are bad",
            'write "> 10s" or "< 10s"',
        ),
    ],
    "thresholds_exchanged": [
        (
            "9:73",
            "checks[0].warning",
            "critical (> 1s) is reached before warning (> 10s), which never shows",
            "were the two exchanged?",
        ),
    ],
    "time_zone": [
        ("3:11", "timezone", "'America/Mexico City' is not a time zone", "did you mean 'America/Mexico_City'?"),
    ],
    "two_documents": [
        ("8:1", "", "a second document begins here", "a book is one document: remove the line `---`"),
    ],
    "unfit_component": [
        (
            "9:37",
            "checks[0].of",
            "redis.up cannot be read of 'database', which is a postgres component",
            "components it can be read of: cache",
        ),
    ],
    "unknown_key": [
        ("8:1", "chekcs", "the key 'chekcs' is not known here", "did you mean 'checks'?"),
    ],
    "unknown_key_in_a_component": [
        ("9:5", "components.cache.replica", "the key 'replica' is not known here", "did you mean 'replicas'?"),
    ],
    "unknown_kind": [
        ("6:20", "components.database.kind", "'postgresql' is not valid here", "did you mean 'postgres'?"),
    ],
    "unknown_observation": [
        (
            "9:24",
            "checks[0].observe",
            "there is no observation named 'postgres.lag_of_replication'",
            "did you mean 'postgres.replication_lag'?",
        ),
    ],
    "unknown_parameter": [
        ("9:70", "checks[0].with.port", "redis.up has no parameter 'port'", "it takes none; remove `with`"),
    ],
    "window_without_time": [
        ("9:5", "windows[0]", "a window begins by `rrule` or `at`", "write one of them"),
    ],
    "wrong_indentation": [
        (
            "9:3",
            "",
            "this line does not fit the block that it stands in",
            "check the indentation here and the quotes of the lines before",
        ),
    ],
    "wrong_unit": [
        (
            "12:15",
            "checks[0].critical",
            "'> 10MB' is a size, but this observation yields a duration (200ms, 5m, 2h, 7d)",
            'write "> 200ms"; see `opsbook observations postgres.replication_lag`',
        ),
    ],
}
"""File → line:column, key, message and hint of each problem."""


def test_every_broken_book_has_its_row() -> None:
    assert {path.stem for path in BROKEN.glob("*.yaml")} == set(PROBLEMS)
    assert len(PROBLEMS) >= 25


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_it_says_where_what_and_what_to_do(name: str) -> None:
    with pytest.raises(InvalidBook) as raised:
        load_book(BROKEN / f"{name}.yaml", catalogue())
    found = [(f"{p.place.line}:{p.place.column}", p.key, p.message, p.hint) for p in raised.value.problems]
    assert found == PROBLEMS[name]
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_every_problem_has_a_next_step_and_points_into_the_file(name: str) -> None:
    lines = (BROKEN / f"{name}.yaml").read_text().splitlines() or [""]
    with pytest.raises(InvalidBook) as raised:
        load_book(BROKEN / f"{name}.yaml", catalogue())
    for problem in raised.value.problems:
        assert problem.hint
        assert problem.place.column <= len(lines[problem.place.line - 1]) + 1
        assert f"{name}.yaml:{problem.place.line}:{problem.place.column}: " in str(problem).partition("\n")[0] + " "


def test_a_secret_that_is_missing_is_named_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_REDIS_URL", raising=False)
    book = tmp_path / "book.yaml"
    book.write_text(GOOD)
    (problem,) = in_environment(load_book(book, catalogue())).missing_secrets({"cache"})
    assert (problem.place.line, problem.place.column) == (6, 29)
    assert problem.message == "the environment variable SHOP_REDIS_URL is not set"
    assert problem.hint.startswith("set SHOP_REDIS_URL")


GOOD = """opsbook: 1
system: shop
environments:
  production: {policy: strict}
components:
  cache: {kind: redis, url: "${SHOP_REDIS_URL}", replicas: 1}
  api: {kind: http, url: http://localhost:1, depends_on: [cache]}
checks:
  - {id: up, observe: redis.up, of: cache, critical: is down, for: 5m, groups: [daily]}
severities: {P1: {respond: 15m, business_hours: {start: 09:00, end: 17:00}}}
windows: [{id: weekly, rrule: "FREQ=WEEKLY;BYDAY=SU", lasts: 2h}]
"""

WORDS = st.sampled_from(
    ["", "~", "5", "[", "{", "}", ": ", "- ", "\t", "*a", "&a ", "<<: ", "!x ", "${A", "> 5", "|", "é"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(GOOD)), st.integers(0, 40), WORDS)
def test_a_damaged_book_loads_or_is_refused_in_words(tmp_path: Path, start: int, length: int, word: str) -> None:
    book = tmp_path / "book.yaml"
    book.write_text(GOOD[:start] + word + GOOD[start + length :])
    try:
        load_book(book, catalogue())
    except OpsbookError as error:
        assert error.exit_code == 2
        assert isinstance(error, InvalidBook)
        assert all(problem.message for problem in error.problems)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5m", "> 5", "P1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "of", "kind", "x"]), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(BookModel.model_fields)), VALUES))
def test_any_value_under_any_key_is_refused_in_words(sections: dict[str, object]) -> None:
    located = read_yaml(GOOD, "book.yaml")
    model, problems = validate({**located.data, **sections}, located, "book.yaml", catalogue())
    assert model is not None or problems
