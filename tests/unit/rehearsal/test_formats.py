from __future__ import annotations

import json
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from opsbook.errors import Refused
from opsbook.rehearsal.conduct import refused
from opsbook.rehearsal.formats import as_json, as_junit
from opsbook.rehearsal.model import CheckSeen, Outcome, Rehearsal, Sample, Silent, Undo, Verdict
from opsbook.rehearsal.page import as_html

AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
WORKS = Outcome(
    "restart", "Restart", "safe", Verdict.WORKS, 2.5, steps=2, run="r1", samples=(Sample("n", 3, "default"),),
    checks=(CheckSeen("api-up", "ok", "ok", "up"),), undo=Undo(1, 1),
)  # fmt: skip
FAILS = Outcome("purge", "Purge", "destructive", Verdict.FAILS, 1.0, 3, "gone", 4, 'no <table> "x\x07"', "r2")
NEEDS = Outcome("deploy", "Deploy", "disruptive", Verdict.NEEDS, message="a value of 'version'")
REHEARSAL = Rehearsal(
    "rehearsal-1", "shop", "Shop", "test", "abc", AT, 4.0, (WORKS, FAILS, NEEDS), 2, 1,
    (Silent("check", "api-up", "api"), Silent("alert", "ApiDown", "rules")), 2, AT,
)  # fmt: skip


def test_sentences_say_where_and_why() -> None:
    assert [one.sentence for one in REHEARSAL.outcomes] == [
        "works",
        'fails at step 3 (gone): no <table> "x\x07"',
        "needs a value of 'version'",
    ]
    assert REHEARSAL.totals == "1 works, 1 fails, 1 needs something"
    assert not REHEARSAL.works


def test_json_holds_everything() -> None:
    found = json.loads(as_json(REHEARSAL))
    assert [one["verdict"] for one in found["outcomes"]] == ["works", "fails", "needs"]
    assert found["outcomes"][0]["undo"]["sentence"] == "1 undone"
    assert (found["at"], found["works"]) == ("2026-01-02T03:04:00+00:00", False)


def test_junit_counts_failures_and_what_could_not_be_proven() -> None:
    suite = ElementTree.fromstring(as_junit(REHEARSAL))[0]
    assert [suite.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["3", "1", "1", "0"]
    failure = suite[1].find("failure")
    assert failure is not None and failure.get("type") == "gone"
    assert "?" in str(failure.get("message"))


def test_the_page_escapes_what_servers_say_and_loads_nothing() -> None:
    text = as_html(REHEARSAL)
    assert "no &lt;table&gt;" in text
    assert "<script" not in text and "http" not in text.replace("http-equiv", "")
    assert 'href="#restart"' in text and 'id="restart"' in text


@pytest.mark.parametrize(("others", "hint"), [(["rehearsal"], "--env rehearsal"), ([], "disposable: true")])
def test_an_environment_that_is_not_disposable_is_refused(others: list[str], hint: str) -> None:
    error = refused("production", False, others)
    assert isinstance(error, Refused) and error.exit_code == 4
    assert hint in error.hint
    assert refused("rehearsal", True, others) is None
