"""The system a manual is about: its name, components, endpoints, namespaces, databases, images, buckets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from opsbook.manual.document import Document, Fence
from opsbook.manual.extract.components import components, is_static
from opsbook.manual.extract.statements import read_block
from opsbook.manual.extract.yaml_nodes import Entry, entries
from opsbook.manual.facts import Named, System
from opsbook.manual.shell import Command, walk_commands

_TITLE_NOISE = re.compile(
    r"\b(?:manual de (?:operaciones|operações|operación|operação)|guía de operaciones|guia de operação|"
    r"руководство по эксплуатации|de operaç(?:ões|ão)|de operaci(?:ones|ón)|operations?|operational|operating|"
    r"runbooks?|manuals?|guides?|(?:service\s+)?handbook|"
    r"playbooks?|procedures?|documentation|production|troubleshooting|deployment|maintenance|and|&|for|the|"
    r"ops|sre|on-?call|incident response|"
    r"disaster recovery|backup|recovery|standard|manual de (?:operaciones|operações)|guía de operaciones|guia "
    r"de operação|betriebshandbuch|betriebsanleitung|руководство(?: по эксплуатации)?|инструкция)\b|运维手册|操作手册|"
    r"恢复|手册|運用・?保守?|マニュアル|手順書|운영 ?매뉴얼|매뉴얼",
    re.I,
)
_URL = re.compile(r"(?:https?|redis|rediss|postgres(?:ql)?|mysql|amqp|mongodb)://[^\s<>\"'`|)\\,;\]]+")
_BUCKET = re.compile(r"\b(?:s3|gs|gcs|b2|wasbs?)://[\w${}.-]+(?:/[\w${}./-]*)?")
_IMAGE = re.compile(r"^(?:[\w.-]+(?::\d+)?/)?[\w.-]+(?:/[\w.-]+)*:[\w][\w.-]*$")
_VALUED = {"-n", "--namespace"}
_CLIENTS = frozenset(
    {
        "psql",
        "pg_dump",
        "pg_restore",
        "pg_isready",
        "mysql",
        "mysqldump",
        "createdb",
        "dropdb",
        "vacuumdb",
        "reindexdb",
        "pgbench",
    }
)


def system(document: Document) -> System:
    """What the manual is about. Names come in the order in which the manual first has them."""
    commands = list(_commands(document))
    namespaces = _distinct(_namespaces(commands, document))
    databases, users = _databases(commands)
    tables = _distinct(_tables(document, commands))
    parts = components(document, commands)
    name, line = _name(document, [each.name for each in namespaces])
    return System(
        line=line,
        name=name,
        components=parts,
        endpoints=_distinct(_endpoints(document)),
        namespaces=namespaces,
        databases=databases,
        users=users,
        tables=tables,
        images=_distinct(_images(document, commands)),
        buckets=_distinct(_buckets(document)),
    )


def _distinct(found: Iterable[Named]) -> tuple[Named, ...]:
    seen: dict[str, Named] = {}
    for each in found:
        seen.setdefault(each.name, each)
    return tuple(seen.values())


def _commands(document: Document) -> Iterator[Command]:
    for fence in document.fences():
        if fence.language in ("bash", "console"):
            yield from walk_commands(read_block(fence).parsed)


def _name(document: Document, namespaces: list[str]) -> tuple[str, int]:
    """The title without the words that name the document; else what the introduction calls the system."""
    heading = next((each for each in document.headings() if each.level == 1), None) or next(
        iter(document.headings()), None
    )
    if heading is None:
        return "", 1
    title = re.sub(r"^[^\w]+", "", heading.text)
    pieces = [piece for piece in re.split(r"\s+[-–—|:]\s+|:\s+", title) if piece.strip()]
    cleaned = [
        re.sub(r"[\s,&/]{2,}", " ", _TITLE_NOISE.sub(" ", piece)).strip(' -–—:|,.()&/«»"“”„') for piece in pieces
    ]
    best = [piece for piece in cleaned if len(piece) > 1]
    below = next((each for each in document.headings() if each.line > heading.line), None)
    if not best and below is not None and below.line - heading.line == 1:
        best = [below.text]
    if best:
        return best[0], heading.line
    for block in document.walk():
        text = getattr(block, "text", "")
        match = re.search(
            r"\b(?:the|managing|running|operating|maintaining) ((?!The\b)[A-Z][\w-]*(?: [A-Z][\w-]*)*) "
            r"(?:platform|system|application|service|project|in production)",
            text,
        ) or re.search(r"\b(?:managing|running|maintaining|of) the ([A-Z][\w-]*(?: [A-Z][\w-]*)*)", text)
        if match and not isinstance(block, Fence):
            return match[1], block.line
    return (namespaces[0] if namespaces else title), heading.line


def _option(words: tuple[str, ...], names: set[str]) -> str:
    for index, word in enumerate(words):
        if word in names and index + 1 < len(words):
            return words[index + 1]
        head, equals, value = word.partition("=")
        if equals and head in names:
            return value
    return ""


def _namespaces(commands: list[Command], document: Document) -> Iterator[Named]:
    for command in commands:
        if command.program in ("kubectl", "oc", "helm", "k", "stern", "flux"):
            words = command.words[: command.words.index("--")] if "--" in command.words else command.words
            name = _option(words, _VALUED)
            if is_static(name):
                yield Named(line=command.line, name=name)
    for entry, _ in _yaml(document):
        if entry.text("namespace") and is_static(entry.text("namespace")):
            yield Named(line=entry.lines["namespace"], name=entry.text("namespace"))


def _databases(commands: list[Command]) -> tuple[tuple[Named, ...], tuple[Named, ...]]:
    names: list[Named] = []
    users: list[Named] = []
    for command in commands:
        if command.program not in _CLIENTS:
            continue
        words = command.words
        name, user = (
            _option(words, {"-d", "--dbname", "--database"}),
            _option(words, {"-U", "-u", "--username", "--user"}),
        )
        if not name:
            name = _operand(words)
        if is_static(name) and not name.startswith(("postgres://", "postgresql://", "/", ".")) and "." not in name:
            names.append(Named(line=command.line, name=name))
        if is_static(user):
            users.append(Named(line=command.line, name=user))
    return _distinct(names), _distinct(users)


_WITH_VALUE = frozenset(
    {
        "-U",
        "-h",
        "-p",
        "-c",
        "-f",
        "-t",
        "-T",
        "-n",
        "-F",
        "-d",
        "-j",
        "-v",
        "-o",
        "-P",
        "-u",
        "-e",
        "--command",
        "--host",
        "--port",
        "--username",
        "--table",
        "--file",
        "--format",
    }
)


def _operand(words: tuple[str, ...]) -> str:
    index = 1
    while index < len(words):
        word = words[index]
        if word in _WITH_VALUE or re.fullmatch(r"-[a-zA-Z]*[cUhpd]", word):
            index += 2
        elif word.startswith("-") or "=" in word:
            index += 1
        else:
            return word if re.fullmatch(r"[a-zA-Z_][\w-]*", word) else ""
    return ""


_TABLE = re.compile(
    r"\b(?:from|join|into|update|vacuum(?:\s+(?:full|analyze|verbose))*|analyze|table(?:\s+if\s+exists)?|"
    r"reindex\s+table)\s+(?:only\s+|concurrently\s+)?([a-z_][\w.]*)",
    re.I,
)
_NOT_TABLES = re.compile(
    r"^(?:pg_|information_schema|select|set|only|now|lateral|unnest|generate_series|analyze|full|verbose|"
    r"where|the|stdin|system|all)",
    re.I,
)


def _tables(document: Document, commands: list[Command]) -> Iterator[Named]:
    texts = [(fence.text, fence.line) for fence in document.fences() if fence.language == "sql"]
    texts += [(each.text, each.line) for command in commands for each in command.embedded if each.language == "sql"]
    for text, line in texts:
        for match in _TABLE.finditer(text):
            if not _NOT_TABLES.match(match[1]) and not match[1].isdigit():
                yield Named(line=line + text.count("\n", 0, match.start()), name=match[1])


def _endpoints(document: Document) -> Iterator[Named]:
    for number, line in enumerate(document.lines, 1):
        for match in _URL.finditer(line[:5000]):
            url = match[0].rstrip(".:'*_")
            yield Named(line=number, name=re.sub(r"://[^/@\s]*:[^/@\s]*@", "://***@", url))


def _buckets(document: Document) -> Iterator[Named]:
    for number, line in enumerate(document.lines, 1):
        for match in _BUCKET.finditer(line[:5000]):
            yield Named(line=number, name="/".join(match[0].split("/")[:3]))


def _yaml(document: Document) -> Iterator[tuple[Entry, Fence]]:
    for fence in document.fences():
        if fence.language == "yaml":
            for entry in entries(fence.text, fence.line):
                yield entry, fence


def _images(document: Document, commands: list[Command]) -> Iterator[Named]:
    for command in commands:
        words = command.words
        if command.program in ("kubectl", "oc") and "image" in words and "set" in words:
            for word in words:
                image = word.partition("=")[2]
                if image and _IMAGE.match(image):
                    yield Named(line=command.line, name=image)
        elif command.program in ("docker", "podman") and {"pull", "push", "run", "build", "scan", "tag"} & set(
            words[1:3]
        ):
            for word in words[2:]:
                if _IMAGE.match(word) and not re.match(r"\d+:\d+|.*/.*:/|/", word) and not word.startswith("-"):
                    yield Named(line=command.line, name=word)
    for entry, _ in _yaml(document):
        if _IMAGE.match(entry.text("image")):
            yield Named(line=entry.lines["image"], name=entry.text("image"))
