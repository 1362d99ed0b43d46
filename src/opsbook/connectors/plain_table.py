"""Rows as a small table of plain text, for the output of a step: bounded in rows, columns and width. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from opsbook.connectors.change import Json

MOST_ROWS = 20
MOST_COLUMNS = 12
WIDEST_CELL = 40
WIDEST_ALONE = 160
"""Characters of the cells of a table with one column: the lines of a plan of PostgreSQL are long."""


def plain_table(columns: Sequence[str], records: Sequence[Mapping[str, Json]], count: int) -> str:
    """The first of `count` rows, a line each, below the names of their columns; empty where there are none."""
    if not records or not columns:
        return ""
    shown = list(columns[:MOST_COLUMNS])
    widest = WIDEST_ALONE if len(columns) == 1 else WIDEST_CELL
    rows = [[_cell(name, widest) for name in shown]]
    rows += [[_cell(record.get(name), widest) for name in shown] for record in records[:MOST_ROWS]]
    widths = [max(len(row[n]) for row in rows) for n in range(len(shown))]
    numbers = [all(_is_number(record.get(name)) for record in records[:MOST_ROWS]) for name in shown]
    lines = [_line(row, widths, numbers) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    left = [f"{count - MOST_ROWS:,} more rows"] if count > MOST_ROWS else []
    left += [f"{len(columns) - MOST_COLUMNS} more columns"] if len(columns) > MOST_COLUMNS else []
    return "\n".join([*lines, *([f"… {' and '.join(left)}"] if left else [])]) + "\n"


def _line(row: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> str:
    cells = zip(row, widths, numbers, strict=True)
    return "  ".join(cell.rjust(width) if number else cell.ljust(width) for cell, width, number in cells).rstrip()


def _is_number(value: Json) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Json, widest: int) -> str:
    if value is None:
        return "NULL"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(one if one.isprintable() else "␤" if one == "\n" else "·" for one in text[: widest + 1])
    return text if len(text) <= widest else text[: widest - 1] + "…"
