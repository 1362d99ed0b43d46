"""What a rendered manual says, in both of its forms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from opsbook.book.system import System
from opsbook.manual.document import read_document
from opsbook.manual.render.facts import Facts
from opsbook.manual.render.html import as_html
from opsbook.manual.render.manual import manual_of
from opsbook.manual.render.markdown import as_markdown


@pytest.fixture
def markdown(shop: System, facts: Facts) -> str:
    return as_markdown(manual_of(shop, facts))


@pytest.fixture
def html(shop: System, facts: Facts) -> str:
    return as_html(manual_of(shop, facts))


def test_no_secret_is_shown_and_references_stand_as_they_are_written(markdown: str, html: str) -> None:
    for text in (markdown, html):
        assert "hush" not in text
        assert "${API_URL}" in text and "${BACKUPS}" in text


def test_the_same_facts_give_the_same_text(shop: System, facts: Facts, markdown: str, html: str) -> None:
    assert as_markdown(manual_of(shop, facts)) == markdown
    assert as_html(manual_of(shop, facts)) == html


def test_every_link_of_the_markdown_leads_to_a_heading(markdown: str) -> None:
    document = read_document(markdown, "manual.md")
    anchors = {heading.anchor for heading in document.headings()}
    targets = [part.partition(")")[0] for part in markdown.split("](#")[1:]]
    assert len(targets) > 15
    assert sorted(set(targets) - anchors) == []


def test_every_link_of_the_page_leads_to_one_place(html: str) -> None:
    ids = [part.partition('"')[0] for part in html.split(' id="')[1:]]
    targets = {part.partition('"')[0] for part in html.split('href="#')[1:]}
    assert len(ids) == len(set(ids))
    assert targets <= set(ids)


def test_a_heading_of_that_name_in_a_procedure_does_not_take_a_sections_anchor(markdown: str) -> None:
    # A section and a procedure share the name: the check leads to the procedure.
    assert "[Retention](#retention)" in markdown and "[Retention](#retention-1)" in markdown


def test_a_promise_is_proven_missed_or_unproven(shop: System, facts: Facts, markdown: str) -> None:
    assert "| serves again within (RTO) | 2 h | proven | 1 h on 2026-01-02 03:04 by drill 7 |" in markdown
    assert "| loses at most (RPO) | 1 h | **missed** | 2 h on 2026-01-02 03:04 |" in markdown
    unmeasured = as_markdown(manual_of(shop, replace(facts, measured={})))
    assert "| loses at most (RPO) | 1 h | **unproven** | never | every Sunday at 05:00 |" in unmeasured
    assert "2 recovery promises of which 2 are unproven" in unmeasured


def test_a_measurement_that_is_too_old_proves_nothing(shop: System, facts: Facts) -> None:
    later = replace(facts, now=datetime(2026, 7, 1, tzinfo=UTC))
    assert "**unproven: too long ago**" in as_markdown(manual_of(shop, later))


def test_a_procedure_says_who_approves_it_when_it_ran_and_how_it_is_run(markdown: str) -> None:
    assert "`opsbook run retention days=3`" in markdown
    assert "another person (operator or admin), an open maintenance window, the environment's name typed" in markdown
    assert "| needs in test | no approval |" in markdown
    assert "| last run | **failed** 2026-01-02 03:04 in production |" in markdown
    assert "| last rehearsal | works 2026-01-02 03:04 in test, and changed since |" in markdown


def test_the_attributes_of_a_fence_become_a_sentence(markdown: str, html: str) -> None:
    assert "   *Step 1 · destructive · on database*\n\n   ```sql\n   DELETE" in markdown
    assert "id=delete" not in markdown + html
    assert '<b>Step 1</b> <span class="mark bad">destructive</span>' in html


def test_headings_and_links_of_a_procedure_fit_the_whole(markdown: str) -> None:
    assert "\n#### Do\n" in markdown
    assert "[the other](#other)" in markdown


def test_text_of_a_book_is_no_markup(markdown: str, html: str) -> None:
    assert "API \\| health" in markdown
    assert "| < 1s |" in markdown
    assert "what is &lt;old&gt;" in html


def test_schedules_and_windows_are_words(markdown: str) -> None:
    for words in ("every day at 03:00", "every Sunday at 02:00", "Due every day at 08:00.", "7 d before", "at once"):
        assert words in markdown
    assert "- [ ] API is up (`opsbook check --only api-up`)" in markdown


def test_the_page_needs_nothing_else_and_can_be_used_by_keyboard_and_reader(html: str) -> None:
    assert "<script" not in html and "src=" not in html and "@import" not in html and "url(" not in html
    assert '<html lang="en">' in html and 'class="skip" href="#text"' in html and "<main" in html
    assert html.count("<table") == html.count("<caption>")
    for media in ("prefers-color-scheme: dark", "@media print", "max-width"):
        assert media in html


def test_a_book_with_next_to_nothing_is_a_manual_too(shop: System) -> None:
    bare = {"objectives": {}, "backups": (), "contacts": {}, "channels": {}, "checklists": {}, "checks": ()}
    model = shop.model.model_copy(update=bare)
    text = as_markdown(manual_of(replace(shop, model=model), Facts()))
    assert "## Backups" not in text and "## Inventory" in text
