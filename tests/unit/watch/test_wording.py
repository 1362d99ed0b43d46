"""Messages in the words of a team, and what becomes of them where its templates are broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.unit.watch.on_call import Desk

from opsbook.watch.delivery import digest
from opsbook.watch.wording import KINDS, faults_of, rendered

FACTS = {"system": "shop", "environment": "production", "severity": "P1", "incident": "i1"}


def write(folder: Path, kind: str, text: str) -> None:
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "templates" / f"{kind}.txt.jinja").write_text(text)


def test_a_page_is_worded_by_the_template_of_the_team_and_the_rest_by_the_packaged_ones(
    tmp_path: Path, store: Engine
) -> None:
    desk = Desk(tmp_path, store)
    write(desk.system.folder, "page", "{{ severity }} in {{ environment }}: {{ subject }}\n{{ incident }} {{ level }}")
    write(desk.system.folder, "digest", "{{ count }} at once\n{{ lines | join('; ') }}")
    desk.bad(notify=("chat",))
    (page,), (update,) = desk.messages("page"), desk.messages("update")
    assert page.subject == "P1 in production: database — shop production"
    assert page.body == f"{desk.one.id} L1"
    assert update.subject.startswith("[update] ")
    assert digest([page, update], None, desk.system.folder).subject == "2 at once"


def test_a_template_may_include_the_packaged_one_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    write(tmp_path, "page", "{% include 'opsbook/page.txt.jinja' %}\n\nRoom 7")
    subject, body = rendered("page", "down", "refused", FACTS, tmp_path)
    assert (subject, body.splitlines()[0], body.splitlines()[-1]) == ("[P1] down", "refused", "Room 7")
    (tmp_path / "templates" / "page.txt.jinja").unlink()
    assert rendered("page", "down", "refused", FACTS, tmp_path) == rendered("page", "down", "refused", FACTS)


def test_the_template_of_the_manual_words_a_page(tmp_path: Path, store: Engine) -> None:
    manual = (Path(__file__).parents[3] / "docs" / "how-to" / "on-call.md").read_text()
    desk = Desk(tmp_path, store)
    write(desk.system.folder, "page", manual.partition("```jinja\n")[2].partition("```")[0])
    desk.bad(component="database")
    (page,) = desk.messages("page")
    assert page.subject == "P1 production: database — shop production"
    assert "\nL1, database\nAcknowledge: opsbook incident ack i" in page.body and "broken" not in page.body


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ subject }}\n{% if %}", "templates/page.txt.jinja, line 2, is broken: Expected an expression"),
        ("{{ subject }}\n\n{{ sevrity }}", "templates/page.txt.jinja, line 3, is broken: 'sevrity' is undefined"),
        ("{{ 1 / 0 }}", "templates/page.txt.jinja, line 1, is broken: division by zero"),
        ("{{ ''.__class__.__mro__ }}", "templates/page.txt.jinja, line 1, is broken: access to attribute '__class__'"),
        ("{{ lines.append(1) }}", "templates/page.txt.jinja, line 1, is broken: "),
        ("{% include '../book.yaml' %}", "templates/page.txt.jinja, line 1, is broken: "),
        ("{% for one in range(10000000) %}{% endfor %}", "is broken: Range too big"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "is broken: maximum recursion depth"),
        ("\n{{ subject }}", "templates/page.txt.jinja is broken: its first line, the subject, is empty"),
    ],
)
def test_no_page_is_lost_by_a_broken_template(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, told: str
) -> None:
    write(tmp_path, "page", text)
    (tmp_path / "book.yaml").write_text("secret: 1")
    facts = {**FACTS, "lines": ["a"]}
    subject, body = rendered("page", "down", "refused", facts, tmp_path)
    plain_subject, plain_body = rendered("page", "down", "refused", facts)
    assert subject == plain_subject
    assert body.startswith(f"{plain_body}\n\n(") and told in body
    assert told in caplog.text and "packaged words" in caplog.text


def test_a_template_that_is_no_text_is_told(tmp_path: Path) -> None:
    write(tmp_path, "page", "")
    (tmp_path / "templates" / "page.txt.jinja").write_bytes(b"\xff\xfe")
    assert "is broken: " in rendered("page", "down", "refused", FACTS, tmp_path)[1]


def test_what_a_template_makes_of_a_title_cannot_forge_a_line_or_steer_a_terminal(tmp_path: Path) -> None:
    write(tmp_path, "page", "{{ title }}\n{{ title }}")
    subject, body = rendered("page", "down", "refused", {**FACTS, "title": "a\x1b[31m"}, tmp_path)
    assert (subject, body) == ("a\\x1b[31m", "a\\x1b[31m")


def test_broken_templates_and_those_of_no_kind_are_found_before_they_are_needed(tmp_path: Path) -> None:
    assert faults_of(tmp_path) == []
    write(tmp_path, "page", "{% if %}")
    write(tmp_path, "resolved", "{{ subject }}")
    write(tmp_path, "pages", "{{ subject }}")
    (first, why), (second, kinds) = faults_of(tmp_path)
    assert (first, second) == ("templates/page.txt.jinja", "templates/pages.txt.jinja")
    assert "line 1, is broken" in why and all(one in kinds for one in KINDS)
