"""Other languages inside commands: SQL in psql -c, Python in python -c, JSON in curl -d, PromQL in a query
parameter."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from opsbook.manual.language import guess_language
from opsbook.manual.shell_model import Command, Embedded, Heredoc, Word


@dataclass(frozen=True)
class _Client:
    """How a program is given a text: options, short letter that may end a cluster (`-tAc`), and whether standard
    input is read."""

    language: str
    options: tuple[str, ...] = ()
    cluster: str = ""
    stdin: bool = False
    operand: int = -1


_CLIENTS: dict[str, _Client] = {
    "psql": _Client("sql", ("-c", "--command"), "c", True),
    "pgcli": _Client("sql", ("-e", "--execute"), "", True),
    "mysql": _Client("sql", ("-e", "--execute"), "e", True),
    "mariadb": _Client("sql", ("-e", "--execute"), "e", True),
    "clickhouse-client": _Client("sql", ("-q", "--query"), "", True),
    "clickhouse": _Client("sql", ("-q", "--query"), "", True),
    "cockroach": _Client("sql", ("-e", "--execute"), "", True),
    "cqlsh": _Client("cql", ("-e", "--execute"), "", True),
    "sqlcmd": _Client("sql", ("-Q", "-q"), "", True),
    "sqlite3": _Client("sql", (), "", True, 1),
    "duckdb": _Client("sql", ("-c",), "", True),
    "sqlplus": _Client("sql", (), "", True),
    "influx": _Client("influxql", ("-execute", "--execute"), "", False),
    "mongosh": _Client("javascript", ("--eval",), "", True),
    "mongo": _Client("javascript", ("--eval",), "", True),
    "python": _Client("python", ("-c",), "c", True),
    "python3": _Client("python", ("-c",), "c", True),
    "node": _Client("javascript", ("-e", "--eval", "-p"), "", True),
    "ruby": _Client("ruby", ("-e",), "", True),
    "perl": _Client("perl", ("-e",), "e", True),
    "php": _Client("php", ("-r",), "", True),
    "redis-cli": _Client("redis", (), "", True),
    "promtool": _Client("promql", (), "", False),
}

_BODY = ("-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--json")
_QUERY = re.compile(r"(?:^|[?&])query=")


def with_embedded(command: Command) -> Command:
    """The same command with the texts of other languages that it carries."""
    if not command.argv:
        return command
    found = tuple(_find(command))
    return replace(command, embedded=found) if found else command


def fed_by(command: Command, before: Command) -> Command:
    """The same command with what the one before it in the pipeline writes, where that is a literal text."""
    text: tuple[str, Word | Heredoc] | None = None
    if before.program in ("echo", "printf") and len(before.argv) > 1:
        words = [word for word in before.argv[1:] if not re.fullmatch(r"-[neE]+", word.text)]
        text = (words[0].text, words[0]) if words else None
    elif before.program == "cat" and before.heredoc is not None:
        text = (before.heredoc.text, before.heredoc)
    if text is None:
        return command
    return _fed(command, text[0], text[1])


def _fed(command: Command, text: str, origin: Word | Heredoc) -> Command:
    if command.nested:
        inner = tuple(_fed(each, text, origin) for each in command.nested[:1]) + command.nested[1:]
        return replace(command, nested=inner)
    language = _stdin_language(command, text)
    if not language or any(each.language == language for each in command.embedded):
        return command
    made = (
        _of_heredoc(command, origin, language) if isinstance(origin, Heredoc) else _of_word(command, origin, language)
    )
    return replace(command, embedded=(*command.embedded, made))


def _find(command: Command) -> list[Embedded]:
    program, found = command.program, []
    client = _CLIENTS.get(program)
    if program == "curl":
        found = _of_curl(command)
    elif program == "promtool":
        found = _of_promtool(command)
    elif program in ("kubectl", "oc"):
        found = _of_patch(command)
    elif client is not None:
        found = _of_options(command, client)
    elif program in ("rails", "manage.py", "django-admin", "flask"):
        found = [
            _of_word(command, w, "ruby" if program == "rails" else "python") for w in _after(command, ("runner", "-c"))
        ]
    if client is not None and program.startswith("python"):
        found += [_of_word(command, word, "python") for word in _after(command, ("-c", "--command"))][
            : 0 if found else 1
        ]
    if command.heredoc is not None and not command.nested and command.heredoc.text.strip():
        language = _stdin_language(command, command.heredoc.text)
        if language:
            found.append(_of_heredoc(command, command.heredoc, language))
    return found


def _stdin_language(command: Command, text: str) -> str:
    program = command.program
    client = _CLIENTS.get(program)
    if client is not None:
        return client.language if client.stdin else ""
    if program in ("kubectl", "oc", "helm", "docker-compose"):
        return "json" if text.lstrip().startswith("{") else "yaml"
    if program in ("sh", "bash", "ssh", "zsh", "crontab"):
        return "crontab" if program == "crontab" else ""
    if program == "curl":
        return "json" if text.lstrip()[:1] in ("{", "[") else ""
    if program in ("cat", "tee"):
        guessed = guess_language("", text)
        return "" if guessed == "text" else guessed
    return ""


def _of_options(command: Command, client: _Client) -> list[Embedded]:
    found: list[Embedded] = []
    words = command.argv
    operands: list[Word] = []
    index = 1
    while index < len(words):
        text = words[index].text
        cluster = client.cluster and re.fullmatch(rf"-[a-zA-Z0-9]{{0,5}}{client.cluster}", text)
        if (text in client.options or cluster) and index + 1 < len(words):
            found.append(_of_word(command, words[index + 1], client.language))
            index += 2
            continue
        option, equals, _ = text.partition("=")
        if equals and option in client.options:
            found.append(_of_word(command, words[index], client.language, len(option) + 1))
        elif not text.startswith("-"):
            operands.append(words[index])
        index += 1
    if client.operand >= 0 and len(operands) > client.operand and not operands[client.operand].text.startswith("."):
        found.append(_of_word(command, operands[client.operand], client.language))
    return found


def _of_curl(command: Command) -> list[Embedded]:
    found: list[Embedded] = []
    words = command.argv
    asks_prometheus = any(re.search(r"/api/v1/query|prometheus|:9090", word.text) for word in words)
    for index, word in enumerate(words[1:], 1):
        previous = words[index - 1].text
        text = word.text
        if previous == "--data-urlencode" and text.startswith("query=") and asks_prometheus:
            found.append(_of_word(command, word, "promql", len("query=")))
        elif previous in _BODY and text.lstrip()[:1] in ("{", "["):
            found.append(_of_word(command, word, "json"))
        elif (match := re.match(r"(--(?:data|data-raw|data-binary|json)=)\s*[{\[]", text)) is not None:
            found.append(_of_word(command, word, "json", len(match[1])))
        elif asks_prometheus and "/api/v1/query" in text and (query := _QUERY.search(text)) is not None:
            end = text.find("&", query.end())
            part = text[query.end() : end if end >= 0 else len(text)]
            made = _of_word(command, word, "promql", query.end())
            found.append(replace(made, text=unquote(part.replace("+", " ")) if "%" in part else part))
    return found


def _of_promtool(command: Command) -> list[Embedded]:
    words = [word for word in command.argv[1:] if not word.text.startswith("-")]
    if len(words) > 3 and words[0].text == "query" and words[1].text in ("instant", "range"):
        return [_of_word(command, words[3], "promql")]
    return []


def _of_patch(command: Command) -> list[Embedded]:
    if "patch" not in command.words[:6]:
        return []
    found = []
    for index, word in enumerate(command.argv[1:], 1):
        if command.argv[index - 1].text in ("-p", "--patch"):
            found.append(_of_word(command, word, "json" if word.text.lstrip()[:1] in ("{", "[") else "yaml"))
        elif (match := re.match(r"(?:-p=?|--patch=)(?=[{\[])", word.text)) is not None:
            found.append(_of_word(command, word, "json", match.end()))
    return found


def _after(command: Command, options: tuple[str, ...]) -> list[Word]:
    return [word for before, word in zip(command.argv, command.argv[1:], strict=False) if before.text in options]


def _of_word(command: Command, word: Word, language: str, cut: int = 0) -> Embedded:
    line, column = word.at(cut)
    segments = [(0, line, column)]
    segments += [(start - cut, at_line, at_column) for start, at_line, at_column in word.segments if start > cut]
    return Embedded(
        language, word.text[cut:], line, column, command.program, word.variables, tuple(segments), word.quote == "'"
    )


def _of_heredoc(command: Command, heredoc: Heredoc, language: str) -> Embedded:
    return Embedded(
        language,
        heredoc.text,
        heredoc.line,
        heredoc.column,
        command.program,
        heredoc.variables,
        heredoc.segments or ((0, heredoc.line, heredoc.column),),
        not heredoc.expands,
    )
