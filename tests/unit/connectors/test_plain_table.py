"""Rows become a table that fits a terminal, whatever is in them."""

from __future__ import annotations

from opsbook.connectors.plain_table import MOST_COLUMNS, MOST_ROWS, WIDEST_CELL, plain_table


def test_it_shows_names_and_rows() -> None:
    records = [{"pid": 7, "query": "SELECT 1"}, {"pid": 1234, "query": None}]
    assert plain_table(["pid", "query"], records, 2) == "\n".join(
        [" pid  query", "----  --------", "   7  SELECT 1", "1234  NULL", ""]
    )


def test_it_is_bounded_in_rows_columns_and_width() -> None:
    columns = [f"c{n}" for n in range(30)]
    records = [dict.fromkeys(columns, "x" * 1000) for _ in range(100)]
    lines = plain_table(columns, records, 5_000).splitlines()
    assert len(lines) == MOST_ROWS + 3 and lines[-1] == "… 4,980 more rows and 18 more columns"
    assert max(map(len, lines)) == MOST_COLUMNS * (WIDEST_CELL + 2) - 2


def test_nothing_in_a_cell_breaks_its_line_or_steers_the_terminal() -> None:
    table = plain_table(["a", "b"], [{"a": "x\ny\x1b[31m", "b": {"k": ["é"]}}], 1)
    assert table.splitlines()[2] == 'x␤y·[31m  {"k": ["é"]}' and "\x1b" not in table


def test_no_rows_are_no_table() -> None:
    assert plain_table(["a"], [], 0) == "" == plain_table([], [], 0)
