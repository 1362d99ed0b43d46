"""HTTP requests as a fence writes them, and values in them: encoded by the place in which they stand.

A request is `METHOD URL`, then header lines, an empty line, and a body. A text of a planned request is a string, or
where a secret is in it a list of strings and `{"secret": reference, "as": encoding}`: the executor takes the secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit
from xml.sax.saxutils import escape

from opsbook.book.words import nearest
from opsbook.connectors.change import Json
from opsbook.engine.expressions import ExpressionError, Secret, evaluate
from opsbook.engine.mistakes import TextMistake
from opsbook.engine.templates import Template, templates, text_of

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
READS = ("GET", "HEAD", "OPTIONS")
LONGEST_LINE = 8_000
"""Characters of a URL or header with its values; servers refuse longer ones."""
LARGEST_BODY = 10_000_000
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*)")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass
class Request:
    """A request as written. `encoding` is how values in the body are encoded: json form xml text, or none."""

    method: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    encoding: str = ""

    def as_json(self) -> dict[str, Json]:
        return {
            "method": self.method, "url": self.url, "headers": self.headers, "body": self.body,
            "encoding": self.encoding,
        }  # fmt: skip


def read_request(text: str, based: bool) -> tuple[Request, list[TextMistake]]:
    """The request of a fence and everything that is wrong with it. `based`: the URL begins at a component's.

    Raises UnclosedTemplate.
    """
    templates(text)
    request, mistakes = Request(), []
    head, gap, body = text.rstrip().partition("\n\n")
    lines = head.split("\n")
    request.method, _, url = lines[0].strip().partition(" ")
    request.url = url.strip()
    if request.method not in METHODS:
        hint = nearest(request.method.upper(), METHODS)
        mistakes.append(
            TextMistake(0, max(len(request.method), 1), f"{request.method or 'nothing'!r} is not an HTTP method", hint)
        )
    mistakes += _url_mistakes(request.url, text.find(url.strip()) if url.strip() else len(lines[0]), based)
    offset = len(lines[0]) + 1
    for line in lines[1:]:
        mistakes += _header(request, line, offset)
        offset += len(line) + 1
    request.body = body
    if body:
        start = len(head) + len(gap)
        mistakes += _body_mistakes(request, start)
        if request.method in READS:
            mistakes.append(TextMistake(start, 1, f"{request.method} has no body", "remove it, or POST it"))
    return request, mistakes


def fill_request(request: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Json]:
    """The request with its values encoded. Raises ExpressionError for one that cannot stand where it would."""
    url = _filled(request["url"], names, "url")
    _check_path(request["url"], names)
    headers = {name: _filled(text, names, "header") for name, text in request["headers"].items()}
    body = _filled(request["body"], names, request["encoding"] or "none") if request["body"] else ""
    for text, what, limit in [(url, "the URL", LONGEST_LINE), (body, "the body", LARGEST_BODY)] + [
        (text, f"the header {name}", LONGEST_LINE) for name, text in headers.items()
    ]:
        length = sum(len(part) for part in ([text] if isinstance(text, str) else text) if isinstance(part, str))
        if length > limit:
            raise ExpressionError(f"{what} would have {length:,} characters", f"at most {limit:,} are sent")
    return {"method": request["method"], "url": url, "headers": headers, "body": body}


def encode(value: str, encoding: str) -> str:
    """A text as it stands in a URL, header or body. Raises ExpressionError for what cannot stand there."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ExpressionError("a value is not valid text (a lone surrogate)", "give it as UTF-8") from None
    if encoding == "url":
        return quote(value, safe="")
    if encoding == "form":
        return quote_plus(value, safe="")
    if encoding == "json-text":
        return json.dumps(value, ensure_ascii=False)[1:-1]
    if encoding == "json":
        return json.dumps(value, ensure_ascii=False)
    if encoding == "xml":
        if _NOT_XML.search(value):
            raise ExpressionError("XML cannot hold a control character of a value", "remove it")
        return escape(value, {'"': "&quot;", "'": "&apos;", "\r": "&#13;"})
    if encoding == "header":
        if re.search(r"[\r\n\0]", value):
            raise ExpressionError("a value has a line break or NUL, which would begin another header", "remove it")
        if value != value.strip():
            raise ExpressionError("a value begins or ends with a blank, which a header loses", "remove it")
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise ExpressionError("a header cannot carry these characters", "send them in the body") from None
    return value


def _filled(text: str, names: Mapping[str, Any], encoding: str) -> Json:
    parts: list[Json] = []
    at_value = _json_places(text) if encoding == "json" else {}
    for piece in templates(text):
        if isinstance(piece, str):
            parts.append(piece)
            continue
        how = at_value.get(piece.start, encoding)
        value = evaluate(piece.expression, names)
        try:
            if isinstance(value, Secret):
                parts.append({"secret": value.reference, "as": how})
            elif how == "json":
                parts.append(json.dumps(value, ensure_ascii=False, allow_nan=False))
            else:
                parts.append(encode(text_of(value, piece.expression), how))
        except ExpressionError as error:
            raise ExpressionError(f"{{{{ {piece.expression} }}}}: {error.message}", error.hint) from error
        except (TypeError, ValueError) as error:
            raise ExpressionError(f"{{{{ {piece.expression} }}}} cannot be written as JSON: {error}") from error
    if all(isinstance(part, str) for part in parts):
        return "".join(parts)
    return parts


def _check_path(text: str, names: Mapping[str, Any]) -> None:
    """A value may not be `.` or `..` or empty as a whole part of the path: it would name something else."""
    path = ""
    for piece in templates(text):
        if isinstance(piece, Template):
            value = evaluate(piece.expression, names)
            path += "s" if isinstance(value, Secret) else quote(text_of(value, piece.expression), safe="")
        else:
            path += piece
    parts = urlsplit(path).path.split("/")
    plain = urlsplit(re.sub(r"\{\{.*?\}\}", "x", text)).path.split("/")
    for filled, written in zip(parts, plain, strict=False):
        if filled in ("", ".", "..") and filled != written:
            raise ExpressionError(
                f"a value would make {filled!r} a part of the path {path!r}", "give it a value that names something"
            )


def _url_mistakes(url: str, offset: int, based: bool) -> list[TextMistake]:
    def mistake(message: str, hint: str, at: int = 0, length: int = 0) -> list[TextMistake]:
        return [TextMistake(offset + at, length or max(len(url), 1), message, hint)]

    first = next((piece for piece in templates(url) if isinstance(piece, Template)), None)
    if not url:
        return mistake("the URL is missing", "write METHOD URL, such as GET /health")
    if " " in re.sub(r"\{\{.*?\}\}", "", url):
        return mistake("a URL has no blanks", "write %20, or put the value into {{ … }}")
    if based and not url.startswith("/"):
        return mistake("with `on` the URL is a path of the component", "begin it with /")
    if not based:
        fixed = url if first is None else url[: first.start]
        if not re.match(r"https?://[^/?#]+(/|\?|$)", fixed) or (first and not re.match(r"https?://[^/?#]+[/?]", fixed)):
            if first and re.match(r"https?://|$", fixed):
                message = "a value cannot choose the host of a request"
                return mistake(message, "name a component with on=", first.start, first.end - first.start)
            return mistake(
                "not the URL of a request", "write https://host/path, or name a component with on= and a path"
            )
        if "@" in fixed.split("/")[2]:
            return mistake("a URL holds no user and password", "send a header: Authorization: Bearer {{ token }}")
    if "#" in re.sub(r"\{\{.*?\}\}", "", url):
        return mistake("a fragment is never sent", "remove # and what follows")
    return []


def _header(request: Request, line: str, offset: int) -> list[TextMistake]:
    found = _HEADER.fullmatch(line)
    if not found:
        return [
            TextMistake(
                offset, max(len(line), 1), "not a header line", "write Name: value; an empty line begins the body"
            )
        ]
    name = found[1].title() if found[1].islower() else found[1]
    if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
        return [TextMistake(offset, len(found[1]), f"{name} is set by opsbook", "remove the line")]
    if name.lower() in {other.lower() for other in request.headers}:
        return [TextMistake(offset, len(found[1]), f"the header {name} stands here twice", "keep one")]
    request.headers[name] = found[2].strip()
    return []


def _body_mistakes(request: Request, offset: int) -> list[TextMistake]:
    declared = next((v for k, v in request.headers.items() if k.lower() == "content-type"), "").lower()
    kind = declared.partition(";")[0].strip()
    if not kind and re.match(r"\s*(\{(?!\{)|\[)", request.body):
        request.headers["Content-Type"], kind = "application/json", "application/json"
    if kind == "application/json" or kind.endswith("+json"):
        request.encoding = "json"
        return _json_mistakes(request.body, offset)
    request.encoding = {"application/x-www-form-urlencoded": "form", "text/plain": "text"}.get(kind, "")
    if kind.endswith(("/xml", "+xml")):
        request.encoding = "xml"
    first = next((piece for piece in templates(request.body) if isinstance(piece, Template)), None)
    if not request.encoding and first is not None:
        return [
            TextMistake(
                offset + first.start, first.end - first.start,
                "it is not known how to encode a value " + (f"in {kind}" if kind else "in a body of no declared type"),
                "say Content-Type: application/json, application/x-www-form-urlencoded, text/plain or one of XML",
            )
        ]  # fmt: skip
    return []


def _json_mistakes(body: str, offset: int) -> list[TextMistake]:
    places, masked, at = _json_places(body), "", 0
    for piece in templates(body):
        if isinstance(piece, Template):
            length = piece.end - piece.start
            masked += body[at : piece.start] + ("x" * length if places[piece.start] == "json-text" else "1" * length)
            at = piece.end
    masked += body[at:]
    try:
        json.loads(masked)
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        return [
            TextMistake(offset + error.pos, 1, f"the body is not JSON: {message}", "mend it, or say its Content-Type")
        ]
    return []


def _json_places(body: str) -> dict[int, str]:
    """For each template, by its start: `json-text` inside a string, else `json`."""
    places = {piece.start: piece for piece in templates(body) if isinstance(piece, Template)}
    found, quoted, at = {}, False, 0
    while at < len(body):
        if at in places:
            found[at] = "json-text" if quoted else "json"
            at = places[at].end
            continue
        if quoted and body[at] == "\\":
            at += 1
        elif body[at] == '"':
            quoted = not quoted
        at += 1
    return found
