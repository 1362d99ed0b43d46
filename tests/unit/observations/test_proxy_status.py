"""nginx' stub_status page."""

from __future__ import annotations

import pytest

from opsbook.connectors.contract import ReadFailed
from opsbook.observations.proxy import parse_status

PAGE = (
    "Active connections: 291 \nserver accepts handled requests\n"
    " 16630948 16630940 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n"
)


def test_its_figures_are_read() -> None:
    found = parse_status(PAGE)
    assert (found.active, found.waiting) == (291, 106)
    assert found.accepted - found.handled == 8


def test_another_page_is_told() -> None:
    with pytest.raises(ReadFailed, match="not nginx' stub_status"):
        parse_status("<html>hello</html>")
