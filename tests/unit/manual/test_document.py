"""Reading Markdown into blocks with exact places."""

from __future__ import annotations

import pytest

from opsbook.manual.document import Document, Fence, Heading, ListItem, Paragraph, Table, read_document


def items(document: Document) -> list[ListItem]:
    return [block for block in document.walk() if isinstance(block, ListItem)]


def test_it_numbers_lines_from_one() -> None:
    heading, paragraph = read_document("# Title\n\nText\n").blocks
    assert isinstance(heading, Heading)
    assert isinstance(paragraph, Paragraph)
    assert (heading.line, heading.level, heading.text) == (1, 1, "Title")
    assert (paragraph.line, paragraph.column) == (3, 1)


def test_it_gives_headings_the_anchor_that_github_gives() -> None:
    document = read_document("# Backup & Restore\n\n## Überblick: `psql`\n\n## Again\n\n## Again\n")
    assert [heading.anchor for heading in document.headings()] == [
        "backup--restore",
        "überblick-psql",
        "again",
        "again-1",
    ]


def test_it_reads_setext_headings() -> None:
    document = read_document("Almacén\n=======\n\nParte\n-----\n")
    assert [(heading.text, heading.level, heading.line) for heading in document.headings()] == [
        ("Almacén", 1, 1),
        ("Parte", 2, 4),
    ]


def test_it_tells_the_section_of_every_block() -> None:
    document = read_document("# A\n\n## B\n\n- x\n  ```sh\n  ls\n  ```\n\n## C\n\ny\n")
    fence = document.fences()[0]
    assert fence.section_path == ("A", "B")
    assert document.blocks[-1].section_path == ("A", "C")


def test_it_builds_the_tree_of_sections() -> None:
    document = read_document("before\n\n# A\n\n## B\n\n# C\n")
    assert [section.title for section in document.sections()] == ["", "A", "C"]
    assert [section.title for section in document.sections()[1].children] == ["B"]


def test_it_counts_the_columns_of_a_fence_in_a_list() -> None:
    text = "1. Step\n   ```bash\n   ls -la\n     pwd\n   ```\n"
    document = read_document(text)
    fence = document.fences()[0]
    assert (fence.line, fence.column, fence.indent, fence.opening_line) == (3, 4, 3, 2)
    for offset, char in enumerate(fence.text):
        if char != "\n":
            line, column = fence.at(offset)
            assert document.lines[line - 1][column - 1] == char


def test_it_reads_a_fence_that_stands_between_the_items_of_a_broken_list() -> None:
    document = read_document("1. **One**\n```bash\nls\n```\n\n2. **Two**\n```bash\npwd\n```\n")
    assert [type(block).__name__ for block in document.blocks] == ["ListItem", "Fence", "ListItem", "Fence"]
    assert [item.number for item in items(document)] == [1, 2]


def test_it_reads_a_fence_that_is_indented_like_code() -> None:
    fence = read_document("Text:\n\n    ```bash\n    ls\n    ```\n").fences()[0]
    assert (fence.tag, fence.text, fence.line, fence.column) == ("bash", "ls\n", 4, 5)


def test_it_marks_a_fence_that_is_never_closed() -> None:
    assert read_document("```bash\nls\n").fences()[0].closed is False
    assert read_document("```bash\nls\n```\n").fences()[0].closed is True


@pytest.mark.parametrize(("box", "checked"), [("[ ]", False), ("[x]", True), ("[X]", True)])
def test_it_reads_the_boxes_of_a_task_list(box: str, checked: bool) -> None:
    item = items(read_document(f"- {box} Ring the **bell**\n"))[0]
    assert (item.checked, item.text) == (checked, "Ring the bell")


def test_it_tells_list_items_with_depth_number_and_children() -> None:
    found = items(read_document("3. a\n   - b\n4. c\n"))
    assert [(item.text, item.ordered, item.number, item.depth) for item in found] == [
        ("a", True, 3, 1),
        ("b", False, None, 2),
        ("c", True, 4, 1),
    ]


def test_it_reads_tables_with_the_place_of_every_cell() -> None:
    text = "| Metric | Limit |\n|---|:-:|\n| **CPU** | `> 80%` |\n"
    document = read_document(text)
    table = document.blocks[0]
    assert isinstance(table, Table)
    cell = table.rows[0].cells[1]
    assert (table.rows[0].line, table.rows[0].text(0), cell.text) == (3, "CPU", "> 80%")
    assert document.lines[2][cell.column - 1 :].startswith("`> 80%`")


def test_it_finds_inline_code_with_its_column() -> None:
    document = read_document("Run ``a `b` c`` and `kubectl get pods`.\n")
    for span in document.code_spans():
        assert document.lines[span.line - 1][span.column - 1 :].startswith(span.text)
    assert [span.text for span in document.code_spans()] == ["a `b` c", "kubectl get pods"]


def test_it_finds_links_and_bare_addresses_but_none_in_code() -> None:
    document = read_document("[Guide](./guide.md#top) https://x.example/a, `https://no.example` <ops@x.example>\n")
    assert [link.target for link in document.links()] == [
        "./guide.md#top",
        "https://x.example/a",
        "mailto:ops@x.example",
    ]


def test_it_keeps_front_matter_apart() -> None:
    document = read_document("---\ntitle: x\n---\n\n# A\n")
    assert document.front_matter == "title: x"
    assert document.headings()[0].line == 5


def test_it_takes_marks_off_the_text_but_not_out_of_words() -> None:
    paragraph = read_document("**Keep** `db_user` and *db_name* at 5 * 3 &lt; 20 snake_case_name\n").blocks[0]
    assert isinstance(paragraph, Paragraph)
    assert paragraph.text == "Keep db_user and db_name at 5 * 3 < 20 snake_case_name"
    assert paragraph.strong == "Keep"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_it_counts_lines_alike_for_every_line_end(end: str) -> None:
    document = read_document(end.join(["\ufeff# A", "", "```sh", "ls", "```", ""]))
    assert document.headings()[0].line == 1
    fence = document.fences()[0]
    assert (fence.line, fence.text) == (4, "ls\n")


def test_it_reads_quotes_with_what_they_hold() -> None:
    document = read_document("> Mind the gap\n>\n> ```sh\n> ls\n> ```\n")
    fence = document.fences()[0]
    assert isinstance(fence, Fence)
    assert (fence.line, fence.column, fence.text) == (4, 3, "ls\n")
