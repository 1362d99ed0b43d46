"""curl and wget: health checks, queries of Prometheus, and requests to a component."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.inventory import Part
from opsbook.manual.lift.model import Form, Why
from opsbook.manual.lift.registry import lifts
from opsbook.manual.shell import Word

VALUED = frozenset(
    [
        "-X",
        "--request",
        "-H",
        "--header",
        "-d",
        "--data",
        "--data-raw",
        "--data-binary",
        "--json",
        "--data-urlencode",
        "-u",
        "--user",
        "-o",
        "--output",
        "-w",
        "--write-out",
        "-m",
        "--max-time",
        "--connect-timeout",
        "-A",
        "--user-agent",
        "-b",
        "--cookie",
        "-e",
        "--cacert",
        "--cert",
        "--key",
        "--resolve",
        "--retry",
        "--retry-delay",
        "-x",
        "--proxy",
        "-F",
        "--form",
        "-T",
        "--upload-file",
        "-c",
        "--url",
    ]
)
HEALTH = {"prometheus": ("/-/healthy", "/-/ready"), "alertmanager": ("/-/healthy", "/-/ready")}
_SECRET = re.compile(r"(?i)authorization|api[-_]?key|token|password|secret|cookie")


@lifts("curl", "wget")
def curl(use: Use) -> Lifted:
    words = use.command.argv[1:]
    urls, options = _read(words)
    if len(urls) != 1:
        return Stay(Why.OPEN, "it asks more than one address" if urls else "it names no address")
    url = urls[0].value if urls[0].value is not None else urls[0].text
    found = use.inventory.at(url)
    part, path = found if found else (None, "")
    if part is None and not re.search(r"[$<`]", urlsplit(url if "//" in url else f"http://{url}").netloc):
        if {"-o", "-O", "--output", "-T"} & set(options) and options.get("-o") != "/dev/null":
            return Stay(Why.OUTPUT, "what it fetches goes to a file")
        return _outside(use, url, options)
    if part is None:
        return Stay(Why.OPEN, "the address is not given")
    if any(key in options for key in ("-F", "--form", "-T", "--upload-file")):
        return Stay(Why.PROGRAM, "it uploads a file", "", part.name)
    if part.kind == "prometheus" and (query := _query(use, path, options)):
        return [use.step(Form.PROMQL, query, part, attributes={"on": part.name})]
    return _asked(use, part, path, options)


def _read(words: tuple[Word, ...]) -> tuple[list[Word], dict[str, str]]:
    urls: list[Word] = []
    options: dict[str, str] = {}
    at = 0
    while at < len(words):
        text = words[at].text
        name, equals, value = text.partition("=")
        if text in VALUED and at + 1 < len(words):
            options[text] = (options[text] + "\n" if text in options else "") + words[at + 1].text
            at += 1
        elif text.startswith("--") and equals:
            options[name] = value
        elif re.match(r"-X\w+", text):
            options["-X"] = text[2:]
        elif text.startswith("-") and len(text) > 1:
            options[text] = ""
            if re.fullmatch(r"-[a-zA-Z]*[wom]", text) and text not in VALUED and at + 1 < len(words):
                options[f"-{text[-1]}"] = words[at + 1].text
                at += 1
        elif re.search(r"[:/.]|localhost|\$", text):
            urls.append(words[at])
        at += 1
    return urls, options


def _query(_use: Use, path: str, options: dict[str, str]) -> str:
    split = urlsplit(path)
    if not split.path.endswith("/api/v1/query"):
        return ""
    given = parse_qs(split.query).get("query", [""])[0]
    for one in options.get("--data-urlencode", "").split("\n"):
        if one.startswith("query="):
            given = one[6:]
    return given if "$(" not in given else ""


def _asked(use: Use, part: Part, path: str, options: dict[str, str]) -> Lifted:
    method = _method(options)
    bare = path.partition("?")[0].rstrip("/") or "/"
    health = str(part.keys.get("health", "/health")).rstrip("/") or "/"
    if method in ("GET", "HEAD") and (bare == health or bare in HEALTH.get(part.kind, ())):
        observe = {"prometheus": "prometheus.up", "alertmanager": "alertmanager.up"}.get(part.kind, "http.up")
        made = use.check(observe, part)
        if isinstance(made, list):
            return made
    if part.kind in ("prometheus", "alertmanager"):
        observe = "prometheus.firing_alerts" if "alert" in path and part.kind == "prometheus" else f"{part.kind}.up"
        return use.check(observe, part)
    if any(word in options for word in ("-w", "--write-out")) and method == "GET":
        made = use.check("http.latency_p95", part, with_={"path": bare} if bare != health else None)
        if isinstance(made, list):
            return made
    return _request(use, part, method, path, options)


def _outside(use: Use, url: str, options: dict[str, str]) -> Lifted:
    """An address that is none of the book's."""
    if not re.match(r"https?://", url) or _method(options) not in ("GET", "HEAD") or "{" in url:
        return Stay(Why.ELSEWHERE, f"{urlsplit(url).netloc or url} is none of the book's components")
    return _request(use, None, _method(options), url, options)


def _method(options: dict[str, str]) -> str:
    given = options.get("-X") or options.get("--request")
    if given:
        return given.upper()
    if any(re.fullmatch(r"-[a-zA-Z]*I[a-zA-Z]*|--head|--spider", key) for key in options):
        return "HEAD"
    sends = any(key in options for key in ("-d", "--data", "--data-raw", "--data-binary", "--json", "--data-urlencode"))
    return "POST" if sends and not {"-G", "--get"} & set(options) else "GET"


def _request(use: Use, part: Part | None, method: str, path: str, options: dict[str, str]) -> Lifted:
    if method not in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        return Stay(Why.OPEN, f"{method} is no method that a step knows", "", part.name if part else "")
    headers = [h for key in ("-H", "--header") for h in options.get(key, "").split("\n") if h]
    if any(_SECRET.search(header) for header in headers) or {"-u", "--user"} & set(options):
        if part is not None and all(_SECRET.search(h) for h in headers) and method in ("GET", "HEAD"):
            headers = []
        else:
            return Stay(
                Why.LITERAL,
                "the request carries a credential: the component's `headers` hold such references",
                "",
                part.name if part else "",
            )
    body = next(
        (options[key] for key in ("-d", "--data", "--data-raw", "--data-binary", "--json") if options.get(key)), ""
    )
    target, sent = use.text(path), use.text(body)
    if target is None or sent is None or sent.startswith("@"):
        return Stay(Why.OPEN, "a value of the request is computed by the shell", "", part.name if part else "")
    text = "\n".join([f"{method} {target}", *headers]) + (f"\n\n{sent}" if sent else "")
    attributes = {"on": part.name} if part else {}
    step = use.step(Form.HTTP, text, part, attributes=attributes)
    if method not in ("GET", "HEAD"):
        use.context.changed = True
    return [step]
