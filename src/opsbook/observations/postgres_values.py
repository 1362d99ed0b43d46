"""Facts that a book asks of its own tables: how fresh, how many, or any value that a SELECT yields."""

from __future__ import annotations

from pydantic import Field, field_validator

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import CANONICAL_UNIT, Dimension
from opsbook.book.values import TimeZone
from opsbook.observations.postgres_size import table_name
from opsbook.observations.postgres_sql import quoted, sql_observation


class FreshnessParameters(Parameters):
    table: str = Field(description="the table, `name` or `schema.name`")
    column: str = Field(
        description="its column of timestamps or dates; it should lead an index, or be of a small table"
    )
    where: str = Field("", description="a condition in SQL on the rows that count")
    timezone: TimeZone = Field("UTC", description="in which a timestamp without time zone is written")


class RowsParameters(Parameters):
    table: str = Field(description="the table, `name` or `schema.name`")
    where: str = Field("", description="a condition in SQL on the rows that count")


class SqlParameters(Parameters):
    sql: str = Field(description="a SELECT of one row; its first column is the value, the others are shown with it")

    @field_validator("sql")
    @classmethod
    def _one_statement(cls, text: str) -> str:
        return text.strip().rstrip(";").strip()


def _where(condition: str) -> str:
    # A line end, so that a comment in the condition cannot take the parenthesis with it.
    return f" WHERE ({literal(condition)}\n)" if condition else ""


def literal(sql: str) -> str:
    """SQL of a book inside a text in which `%` marks parameters."""
    return sql.replace("%", "%%")


def _freshness(p: FreshnessParameters) -> str:
    return f"""
    SELECT extract(epoch FROM now() - CASE WHEN pg_typeof(newest)::text = 'timestamp with time zone'
                                           THEN newest::timestamptz
                                           ELSE newest::timestamp AT TIME ZONE %(timezone)s END) AS value,
           CASE WHEN newest IS NULL THEN 'the table has no such row' ELSE 'the newest is of ' || newest END AS message
      FROM (SELECT max({quoted(p.column)}) AS newest FROM {table_name(p.table)}{_where(p.where)}) AS m
    """  # noqa: S608 - quoted identifiers; the condition is the book's own


def _rows(p: RowsParameters) -> str:
    return f"SELECT count(*) AS value FROM {table_name(p.table)}{_where(p.where)}"  # noqa: S608


sql_observation(
    "postgres.freshness",
    Dimension.DURATION,
    _freshness,
    parameters=FreshnessParameters,
    alone=True,
    cost=Cost.MODERATE,
    doc="Age of the newest row of a table.",
)

sql_observation(
    "postgres.rows",
    Dimension.COUNT,
    _rows,
    parameters=RowsParameters,
    alone=True,
    cost=Cost.HEAVY,
    doc="Rows of a table, counted. Reads the whole table unless an index serves the condition.",
)

NUMBER = "v::text::float8"
CONVERT = {
    Dimension.COUNT: ("postgres.value", NUMBER),
    Dimension.RATIO: ("postgres.ratio", NUMBER),
    Dimension.SIZE: ("postgres.size", NUMBER),
    Dimension.RATE: ("postgres.rate", NUMBER),
    Dimension.DURATION: (
        "postgres.duration",
        "CASE WHEN pg_typeof(v)::text = 'interval' THEN extract(epoch FROM v::text::interval)::float8 "
        f"ELSE {NUMBER} END",
    ),
    Dimension.STATE: ("postgres.state", "v::text::boolean"),
    Dimension.TEXT: ("postgres.text", "v::text"),
}
"""How the first column becomes a value of the dimension."""

MEANS = {
    Dimension.RATIO: "a fraction: 0.8 is 80 %",
    Dimension.DURATION: "an interval, or seconds",
    Dimension.STATE: "a boolean: true is up",
}


def _custom(dimension: Dimension, name: str, convert: str) -> None:
    def text(p: SqlParameters) -> str:
        return (
            f"SELECT {convert} AS value, nullif(to_jsonb(one) - 'v', '{{}}'::jsonb) AS detail "  # noqa: S608
            f"FROM ({literal(p.sql)}\n) AS one(v)"
        )

    unit = MEANS.get(dimension) or CANONICAL_UNIT[dimension] or "a number"
    sql_observation(
        name,
        dimension,
        text,
        parameters=SqlParameters,
        alone=True,
        cost=Cost.MODERATE,
        doc=f"A {dimension} that a SELECT of the book yields ({unit}). It runs read-only, with the rights of "
        "the URL's role.",
    )


for _dimension, (_name, _convert) in CONVERT.items():
    _custom(_dimension, _name, _convert)
