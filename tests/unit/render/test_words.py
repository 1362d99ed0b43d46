from __future__ import annotations

import pytest

from opsbook.manual.render.pieces import Code
from opsbook.manual.render.words import cron, rule


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("0 3 * * *", "every day at 03:00"),
        ("30 14 * * 1", "every Monday at 14:30"),
        ("0 5 1 * *", "on day 1 of each month at 05:00"),
        ("0 9 * * 1-5", "on weekdays at 09:00"),
        ("*/5 * * * *", "every 5 min"),
        ("0 * * * *", "every hour"),
        ("0 3 1 1 *", Code("0 3 1 1 *")),
        ("0,30 3 * * *", Code("0,30 3 * * *")),
    ],
)
def test_a_simple_schedule_is_words_and_another_stays_as_it_is(written: str, words: object) -> None:
    assert cron(written) == (words,)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", "every Sunday at 02:00"),
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "every day at 02:30"),
        ("FREQ=MONTHLY;BYDAY=1SU;BYHOUR=3", "on the first Sunday of each month at 03:00"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU;BYHOUR=2", Code("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU;BYHOUR=2")),
        ("FREQ=MONTHLY;BYMONTHDAY=1", Code("FREQ=MONTHLY;BYMONTHDAY=1")),
    ],
)
def test_a_simple_rule_is_words_and_another_stays_as_it_is(written: str, words: object) -> None:
    assert rule(written) == (words,)
