"""How PostgreSQL facts become SQL, and answers become values."""

from __future__ import annotations

import re

import pytest

from opsbook.book.catalogue import NoParameters
from opsbook.book.references import Reference
from opsbook.book.units import Dimension
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.postgres_session import Server, plain_url, shown, version_number
from opsbook.observations.postgres_size import table_name
from opsbook.observations.postgres_sql import FACTS, fact_of, masked, merge, statement
from opsbook.observations.registry import Absent, make_spec, observations, read_parameters

VERSIONS = (120022, 130018, 140015, 150010, 160006, 170002, 180000)
STATEMENTS = {120022: 107, 130018: 108, 140015: 109, 150010: 110, 160006: 110, 170002: 111, 180000: 112}
"""The version of pg_stat_statements that comes with each server."""
SAMPLE = {"name": "port", "table": "jobs", "column": "at", "sql": "SELECT 1"}


def server(version: int, statements: int | None = None) -> Server:
    return Server(version, True, "monitor", {"pg_stat_statements": ("ext", statements or STATEMENTS[version])})


def sql(name: str, version: int, statements: int | None = None) -> str:
    spec = observations()[name].spec
    required = {key: SAMPLE[key] for key, one in spec.parameters.model_fields.items() if one.is_required()}
    return statement(FACTS[name], read_parameters(spec, required), server(version, statements))


def spec(dimension: Dimension) -> object:
    return make_spec("postgres.some", dimension, "postgres", "Some.")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(name for name in observations() if name in FACTS))
def test_no_word_of_a_text_is_left_open(name: str, version: int) -> None:
    assert not re.search(r"\{\w+\}", sql(name, version))


@pytest.mark.parametrize(
    ("version", "extension", "column"),
    [(120022, 107, "mean_time"), (130018, 108, "mean_exec_time"), (180000, 112, "mean_exec_time")],
)
def test_pg_stat_statements_is_read_by_its_own_version(version: int, extension: int, column: str) -> None:
    for name in ("postgres.slow_queries", "postgres.slowest_query"):
        assert set(re.findall(r"mean_\w*time", sql(name, version))) == {column}
    # A server that was upgraded keeps the old extension until somebody updates it.
    assert "mean_exec_time" not in sql("postgres.slow_queries", 180000, 107)
    assert '"ext".pg_stat_statements' in sql("postgres.slow_queries", version)


@pytest.mark.parametrize(
    ("version", "view", "column"),
    [(120022, "pg_stat_bgwriter", "checkpoints_req"), (160006, "pg_stat_bgwriter", "checkpoints_req"),
     (170002, "pg_stat_checkpointer", "num_requested"), (180000, "pg_stat_checkpointer", "num_requested")],
)  # fmt: skip
def test_checkpoints_are_read_where_the_version_keeps_them(version: int, view: str, column: str) -> None:
    text = sql("postgres.checkpoints_requested", version)
    assert f"FROM {view}" in text
    assert column in text


def test_wal_status_of_slots_came_with_13() -> None:
    assert "wal_status" not in sql("postgres.retained_wal", 120022)
    assert "wal_status" in sql("postgres.retained_wal", 130018)


def test_a_fact_that_the_role_cannot_see_is_refused_with_the_remedy() -> None:
    blind = Server(150010, False, 'od"d', {})
    with pytest.raises(ReadFailed, match='GRANT pg_monitor TO "od""d"'):
        statement(FACTS["postgres.active"], NoParameters(), blind)


def test_parameters_of_merged_queries_are_kept_apart() -> None:
    text, parameters = merge([("SELECT %(a)s, '%%(a)s'", {"a": 1, "b": 2}), ("SELECT %(a)s", {"a": 3})])
    assert "SELECT %(f0_a)s, '%%(a)s'" in text
    assert "SELECT %(f1_a)s" in text
    assert parameters == {"f0_a": 1, "f1_a": 3}


@pytest.mark.parametrize(
    ("written", "quoted"),
    [
        ("jobs", '"jobs"'),
        ("audit.jobs", '"audit"."jobs"'),
        ('audit."My.Jobs"', '"audit"."My.Jobs"'),
        ('"say ""hi"""', '"say ""hi"""'),
        ('x"; DROP TABLE y; --', '"x""; DROP TABLE y; --"'),
        ("100%", '"100%%"'),
        ("%(table)s", '"%%(table)s"'),
        ("a\0b", '"ab"'),
    ],
)
def test_a_table_name_is_quoted_whatever_it_holds(written: str, quoted: str) -> None:
    assert table_name(written) == quoted


@pytest.mark.parametrize(
    ("answer", "dimension", "value"),
    [
        ({"value": 3}, Dimension.COUNT, 3.0),
        ({"value": "3.5"}, Dimension.DURATION, 3.5),
        ({"value": True}, Dimension.STATE, True),
        ({"value": 15}, Dimension.TEXT, "15"),
        ({"value": "Infinity"}, Dimension.SIZE, float("inf")),
    ],
)
def test_an_answer_becomes_a_value_of_its_dimension(answer: dict, dimension: Dimension, value: object) -> None:
    assert fact_of(answer, spec(dimension)).value == value


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, Absent),
        ({"value": None}, Absent),
        ({"value": None, "message": "no row yet"}, Absent),
        ({"value": 0, "failure": "there is no table x"}, ReadFailed),
        ({"value": "NaN"}, ReadFailed),
        ({"value": "green"}, ReadFailed),
    ],
)
def test_an_answer_without_a_value_is_never_zero(answer: dict | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        fact_of(answer, spec(Dimension.COUNT))


def test_queries_in_details_are_short_and_hold_no_password() -> None:
    rows = [
        {"query": "ALTER ROLE a\n  PASSWORD 'it''s secret' VALID UNTIL 'x'", "blocked_by": [{"last_query": "y" * 500}]}
    ]
    fact = fact_of({"value": 1, "detail": rows}, spec(Dimension.COUNT))
    assert fact.detail[0]["query"] == "ALTER ROLE a PASSWORD *** VALID UNTIL 'x'"
    assert len(fact.detail[0]["blocked_by"][0]["last_query"]) == 200


@pytest.mark.parametrize(
    "query",
    ["CREATE ROLE x PASSWORD 'hidden", "alter user x password E'hidden'", "ALTER ROLE x PASSWORD $$hidden$$",
     "SELECT dblink('host=h password=''hidden''')", "SELECT dblink('host=h password=hidden x=1')",
     "CREATE USER MAPPING OPTIONS (user 'u', password 'hidden')"],
)  # fmt: skip
def test_a_password_is_masked_in_every_spelling(query: str) -> None:
    assert "hidden" not in masked(query)


def test_urls_of_drivers_are_plain_for_libpq() -> None:
    assert plain_url("postgresql+asyncpg://u:p+x@h/d") == "postgresql://u:p+x@h/d"
    assert plain_url("postgres://h/d") == "postgres://h/d"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("${DATABASE_URL}", "${DATABASE_URL}"),
        ("postgresql://u:word@h/d", "postgresql://u:***@h/d"),
        ("host=h password=word dbname=d", "host=h password=*** dbname=d"),
        ("postgresql://h/d?password=word&x=1", "postgresql://h/d?password=***&x=1"),
        ("host=h password=${WORD}", "host=h password=${WORD}"),
        ("word", "the text in the book"),
    ],
)
def test_an_error_shows_where_a_url_stands_and_no_password(written: str, text: str) -> None:
    assert shown(Reference(written)) == text


def test_versions_of_extensions_compare() -> None:
    assert [version_number(one) for one in ("1.8", "1.10", "2", "1.6beta")] == [108, 110, 200, 106]
