"""What is wrong with a text that is not YAML, in words that help. Pure: text and the parser's complaint come in."""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

QUOTE_THRESHOLD = """quote it, as in `warning: "> 200ms"`: a bare > or | begins a block of text in YAML"""

HINTS = {
    "mapping values are not allowed in this context": "quote the value if it holds ': ', and check the indentation",
    "could not find expected ':'": "write `key: value`, and check the line before",
    "did not find expected key": "check the indentation here and the quotes of the lines before",
    "did not find expected '-' indicator": "every entry of a list begins with `- ` in the same column",
    "did not find expected ',' or '}'": "the `{` before it is not closed, or a value in it needs quotes",
    "did not find expected ',' or ']'": "the `[` before it is not closed, or a value in it needs quotes",
    "found undefined alias": "a bare * refers to an anchor (&name) of this file; quote the value if it is text",
    "did not find expected alphabetic or numeric character": 'quote the value if it is text, as in `"* * * * *"`',
    "found unexpected end of stream": "a quote or a bracket before it is not closed",
    "but found another document": "a book is one document: remove the line `---`",
    "found a tab character that violates indentation": "indent with spaces",
    "did not find expected <document start>": "begin all keys of the book in the same column",
    "found unknown escape character": "in double quotes a backslash is written \\\\; single quotes take it as it is",
}
"""The parser's words → the next step."""

MESSAGES = {
    "but found another document": "a second document begins here",
    "found undefined alias": "there is no anchor of this name",
    "did not find expected alphabetic or numeric character": "a bare * or & needs a name after it",
    "found unexpected end of stream": "the text ends too early",
    "mapping values are not allowed in this context": "a ': ' that does not belong here",
    "did not find expected key": "this line does not fit the block that it stands in",
    "did not find expected node content": "a value is missing here",
    "did not find expected <document start>": "this line is indented less than the first one",
}
"""The parser's words → plainer ones, where its own mislead."""

UNCLOSED = {"did not find expected ',' or '}'": "{}", "did not find expected ',' or ']'": "[]"}
"""The parser's words → the bracket that is open and the one that is missing."""

NO_VALUE = "did not find expected node content"
"""The parser's words where a list or mapping in brackets lacks an entry, also where the text ends in it."""
PAIRS = {"[": "]", "{": "}"}

_STARTS = re.compile(r"[>|@`%]")


@dataclass(frozen=True)
class Complaint:
    """1-based place, what is wrong, and the next step."""

    line: int
    column: int
    message: str
    hint: str


def explain(error: yaml.YAMLError, text: str) -> Complaint:
    """The complaint of the parser about this text, for people."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return _unreadable(text, error)
    # The parser notices an unclosed quote at the end of the text; where it was opened is what helps.
    ended = error.problem == "found unexpected end of stream" and error.context_mark
    mark = error.context_mark if ended else error.problem_mark or error.context_mark
    if "scanning an alias" in (error.context or "") and error.context_mark is not None:
        mark = error.context_mark
    if mark is None:
        return Complaint(1, 1, error.problem or "not YAML", "check indentation and quotes")
    number, column = mark.line + 1, mark.column + 1
    lines = text.splitlines()
    line = lines[number - 1] if number <= len(lines) else ""
    problem = error.problem or "not YAML"
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        return Complaint(number, line.index("\t") + 1, "a tab is used for indentation", "indent with spaces")
    if ended:
        return Complaint(number, column, "a quote is opened here and never closed", "close it")
    rest = line[column - 1 :]
    if "scanning a block scalar" in (error.context or "") or _STARTS.match(rest):
        return _bare_character(number, column, line, error)
    if problem in UNCLOSED and error.context_mark is not None and error.context_mark.line < mark.line:
        opened = error.context_mark
        return Complaint(opened.line + 1, opened.column + 1, f"a {UNCLOSED[problem][0]} is opened here and not closed",
                         f"close it with {UNCLOSED[problem][1]}")  # fmt: skip
    ends = not "".join([rest, *lines[number:]]).strip()
    before = "\n".join([*lines[: number - 1], line[: column - 1]])
    if problem == NO_VALUE and ends and (unclosed := _left_open(before)):
        return unclosed
    hint = HINTS.get(problem, "check the indentation and quotes here and in the line before")
    return Complaint(number, column, MESSAGES.get(problem, problem), hint)


def _left_open(before: str) -> Complaint | None:
    """The innermost bracket of this text that is not closed in it."""
    opened: list[int] = []
    for found in re.finditer(r"""["'][^"'\n]*["']|[\[\]{}]""", before):
        if found[0] in PAIRS:
            opened.append(found.start())
        elif opened and found[0] == PAIRS[before[opened[-1]]]:
            opened.pop()
    if not opened:
        return None
    at = opened[-1]
    line, column = before.count("\n", 0, at) + 1, at - before.rfind("\n", 0, at)
    return Complaint(
        line, column, f"a {before[at]} is opened here and not closed", f"close it with {PAIRS[before[at]]}"
    )


def _bare_character(number: int, column: int, line: str, error: yaml.MarkedYAMLError) -> Complaint:
    if error.context_mark is not None and error.context_mark.line + 1 == number:
        column = error.context_mark.column + 1
    character = line[column - 1 : column]
    if character in (">", "|"):
        return Complaint(number, column, f"a value cannot begin with a bare {character}", QUOTE_THRESHOLD)
    return Complaint(number, column, f"a value cannot begin with {character!r}", "quote the value")


def _unreadable(text: str, error: yaml.YAMLError) -> Complaint:
    """The reader refuses control characters; its position counts in what it has buffered, so it is found again here."""
    found = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if found is None:
        return Complaint(1, 1, f"not readable as YAML: {error}", "save it as UTF-8 text")
    before = text[: found.start()]
    return Complaint(
        before.count("\n") + 1,
        len(before) - (before.rfind("\n") + 1) + 1,
        f"the control character U+{ord(found[0]):04X} is not allowed",
        "remove it; was it pasted from a terminal?",
    )
