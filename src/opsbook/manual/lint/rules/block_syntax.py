"""Blocks and arguments in Python, JSON, nginx's and systemd's languages that their readers refuse."""

from __future__ import annotations

import ast
import json
import re
import textwrap
import warnings
from collections.abc import Iterator

from opsbook.manual.document import Fence
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import block, sh
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_LEFT_OUT = re.compile(r"(?m)^\s*(?:\.\.\.|…|<[\w -]+>|\[\.\.\.\])\s*,?\s*$|^\s*(?:>>>|\$|!|%)\s?\w")
_LOOSE = re.compile(r"unexpected EOF|was never closed|expected an indented block|unexpected indent", re.I)


@rule(
    "OB425",
    "python-broken",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A Python block that Python does not parse",
    reason="It is pasted at the moment it is needed and ends with a SyntaxError before its first line has run.",
    source="https://docs.python.org/3/reference/grammar.html",
    bad=block("python", "import redis\nprint redis.Redis().info()"),
    good=block("python", "import redis\nprint(redis.Redis().info())"),
)
def python_broken(context: Context) -> Iterator[Fault]:
    """Blocks tagged Python; those with something left out, prompts, or top-level await are read leniently."""
    for fence in context.document.fences():
        if fence.tag.lower() not in ("python", "py", "python3") or fence.language not in ("python", "text", fence.tag):
            continue
        if _LEFT_OUT.search(fence.text) or re.search(r"\{\{|\{%|^\s*#\s*\.\.\.|<[a-z_-]+>", fence.text, re.M):
            continue
        error = _python_error(fence.text)
        if error is not None:
            line = fence.line + min(max((error.lineno or 1) - 1, 0), fence.text.count("\n"))
            yield Fault(context.place(line), f"SyntaxError: {error.msg}", subject=f"python-{fence.line}")


def _python_error(text: str) -> SyntaxError | None:
    source = textwrap.dedent(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(source, "block", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as error:
            pieces = re.search(r"(?m)^(?:return|yield)\b", source) or isinstance(error, (TabError,))
            return None if pieces and "outside" in (error.msg or "") else error
        except ValueError:
            return None
    return None


@rule(
    "OB426",
    "json-broken",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="JSON that does not parse, in a block or sent by curl",
    reason=(
        "The server answers 400 or 422. Single quotes around the JSON keep the shell from filling in $VARIABLES, and "
        "JSON itself knows only double quotes and no comma behind the last entry."
    ),
    source="https://www.rfc-editor.org/rfc/rfc8259",
    bad=sh("curl -fsS -X POST https://api.shop.io/x -H 'Content-Type: application/json' -d '{\"a\": 1,}'"),
    good=sh("curl -fsS -X POST https://api.shop.io/x -H 'Content-Type: application/json' -d '{\"a\": 1}'"),
)
def json_broken(context: Context) -> Iterator[Fault]:
    """Blocks tagged JSON without comments or gaps; -d and --json of curl; $NAME inside single-quoted JSON."""
    for fence in context.document.fences():
        if fence.tag.lower() == "json" and not re.search(r"//|/\*|\.\.\.|…|<[\w -]+>|\{\{|\$\{?\w", fence.text):
            yield from _json_block(context, fence)
    for step in context.calls("curl"):
        call = step.call
        assert call is not None
        for flag in call.flags:
            if flag.name not in ("-d", "--data", "--json", "--data-raw", "--data-binary") or not flag.value:
                continue
            value = flag.value.strip()
            if value[:1] not in "{[" or value.startswith("{{") or "..." in value:
                continue
            word = next((w for w in step.command.argv if w.text == flag.value), flag.word)
            named = re.search(r"\"\$\{?(\w+)\}?\"", word.raw)
            if named and word.quote == "'" and word.raw.count("'") == 2:
                yield Fault(
                    step.at(word), f"${named[1]} is sent as it stands: the single quotes keep the shell from it"
                )
            elif not word.variables and not word.substitutions and not _parses(value) and word.quote in ("'", '"'):
                yield Fault(step.at(word), "this is no JSON: the server refuses it", Fix(_hint(value)))


def _json_block(context: Context, fence: Fence) -> Iterator[Fault]:
    text = fence.text.strip()
    if text[:1] not in "{[" or re.search(r"^\}\s*\n+\s*\{", text, re.M):
        return
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        lead = fence.text[: len(fence.text) - len(fence.text.lstrip())].count("\n")
        yield Fault(context.place(fence.line + lead + error.lineno - 1), f"no JSON: {error.msg}")


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _hint(text: str) -> str:
    if re.search(r",\s*[}\]]", text):
        return "no comma behind the last entry"
    return "double quotes around names and texts" if "'" in text else "check it with jq"


@rule(
    "OB427",
    "nginx-broken",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="An nginx configuration that nginx -t refuses",
    reason="A missing semicolon takes the next line into the directive; nginx keeps the old settings or does not "
    "start.",
    source="https://nginx.org/en/docs/beginners_guide.html#conf_structure",
    bad=block("nginx", "server {\n    listen 80\n    server_name shop.io;\n}"),
    good=block("nginx", "server {\n    listen 80;\n    server_name shop.io;\n}"),
)
def nginx_broken(context: Context) -> Iterator[Fault]:
    """Directives without a semicolon before the next one, and braces that do not match; not blocks with gaps."""
    for fence in context.document.fences():
        if fence.language != "nginx" and fence.tag.lower() != "nginx":
            continue
        if re.search(r"\.\.\.|…|\{\{|<[a-z-]+>|lua", fence.text):
            continue
        bare = re.sub(r"#[^\n]*|\"[^\"\n]*\"|'[^'\n]*'|\$\{\w+\}", "x", fence.text)
        depth = bare.count("{") - bare.count("}")
        open_line = ""
        for number, line in enumerate(bare.split("\n"), fence.line):
            text = line.strip()
            if not text or text == "x":
                continue
            if re.match(r"[a-z_]+\s+\S", text) and open_line and re.match(r"[a-z_]{4,}\s", open_line):
                yield Fault(context.place(number - 1), "the directive before has no semicolon", Fix("end it with ;"))
                return
            open_line = "" if text.endswith((";", "{", "}", "x")) else (text if not open_line else open_line + " ")
        if depth:
            what = "a block is not closed" if depth > 0 else "a brace too many"
            yield Fault(context.place(fence.line), what, Fix("nginx -t tells the line"))


_RESTART = frozenset({"no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"})
_TYPES = frozenset({"simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"})


@rule(
    "OB428",
    "unit-broken",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A systemd unit with a value or path that systemd refuses",
    reason=(
        "systemd ignores the line with a message in the journal, or does not load the unit: “Executable path is not "
        "absolute”, “Failed to parse service restart specifier”."
    ),
    source="https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html",
    bad=block("ini", "[Unit]\nDescription=Shop\n[Service]\nExecStart=./venv/bin/gunicorn shop.wsgi\nRestart=allways"),
    good=block(
        "ini", "[Unit]\nDescription=Shop\n[Service]\nExecStart=/srv/shop/venv/bin/gunicorn shop.wsgi\nRestart=always"
    ),
)
def unit_broken(context: Context) -> Iterator[Fault]:
    """Restart=, Type= and Exec…= of blocks with a [Service] section; here-documents too."""
    for fence in context.document.fences():
        if not re.search(r"(?m)^\[Service\]\s*$", fence.text):
            continue
        for number, line in enumerate(fence.text.split("\n"), fence.line):
            found = re.match(r"(Restart|Type|Exec\w+)\s*=\s*(\S+)(.*)", line.strip())
            if not found:
                continue
            name, value = found[1], found[2]
            if name == "Restart" and value not in _RESTART and "$" not in value:
                yield Fault(
                    context.place(number, value), f"systemd knows no Restart={value}", Fix("always or on-failure")
                )
            elif name == "Type" and value not in _TYPES and "$" not in value:
                yield Fault(context.place(number, value), f"systemd knows no Type={value}")
            elif name.startswith("Exec") and re.match(r"[-@:+!]*(?:\./|\.\./|~)", value):
                yield Fault(context.place(number, value), f"{value}: systemd wants an absolute path")
            elif name.startswith("Exec") and re.search(r"\s(?:\|\||&&|\||>>?)\s", found[3]) and "sh" not in value:
                yield Fault(
                    context.place(number),
                    "systemd runs no shell: |, && and > are handed on as arguments",
                    Fix("/bin/sh -c '…'"),
                )


@rule(
    "OB429",
    "unit-changed-not-reloaded",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A unit file is changed and the service restarted without daemon-reload",
    reason="systemd runs the unit as it was read last; it warns that the file changed on disk and uses the old one.",
    source="https://www.freedesktop.org/software/systemd/man/latest/systemctl.html#daemon-reload",
    bad=sh("sudo nano /etc/systemd/system/shop.service\nsudo systemctl restart shop"),
    good=sh("sudo nano /etc/systemd/system/shop.service\nsudo systemctl daemon-reload\nsudo systemctl restart shop"),
)
def unit_not_reloaded(context: Context) -> Iterator[Fault]:
    """A unit file edited or written, then (re)started in the same block with no daemon-reload between."""
    for shell in context.scripts:
        if "daemon-reload" in shell.text or re.search(r"systemctl\s+edit|reboot", shell.text):
            continue
        changed = False
        for step in shell.steps:
            text = step.command.text
            if re.search(
                r"/(?:etc|lib)/systemd/system/[\w@.-]+\.(?:service|timer)|\.(?:service|timer)"
                r" /etc/systemd/system",
                text,
            ) and (re.match(r"(?:nano|vim?|emacs|tee|cp|mv|sed|ln|install|cat|echo)$", step.program)):
                reads_only = step.program in ("cat", "echo") and not step.command.redirects
                changed = changed or not reads_only
            elif changed and step.call is not None and (step.call.tool, step.call.verb) in _STARTS:
                yield Fault(step.place, "systemd still has the old unit", Fix("systemctl daemon-reload before it"))
                break


_STARTS = frozenset(("systemctl", verb) for verb in ("restart", "start", "reload", "enable"))
