"""Shell blocks as written: syntax, wrong language, quoting, assignments that nobody sees."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from opsbook.manual.lint.bash import parses
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import block, sh, sql
from opsbook.manual.lint.finding import Edit, FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule

_TAGGED = {"bash": "shell", "sh": "shell", "shell": "shell", "console": "shell", "python": "python", "py": "python", "sql": "SQL", "json": "JSON", "promql": "PromQL", "zsh": "shell"}  # fmt: skip
_REALLY = {"bash": "shell", "sql": "SQL", "conf": "a configuration file", "ini": "a configuration file", "yaml": "YAML", "json": "JSON", "python": "Python", "promql": "PromQL", "env": "variables", "crontab": "a crontab", "nginx": "nginx configuration", "dockerfile": "a Dockerfile", "hcl": "Terraform"}  # fmt: skip


@rule(
    "OB101", "shell-syntax", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="A shell block that bash refuses to parse",
    reason="bash reads the whole block before it runs the broken command; a block that does not parse does nothing, or stops half way.",
    source="bash -n, confirmed against shellcheck; https://www.shellcheck.net/wiki/SC1072",
    bad=sh("npm audit (in frontend/)"),
    good=sh("(cd frontend && npm audit)"),
    needs="shellcheck",
)  # fmt: skip
def shell_syntax(context: Context) -> Iterator[Fault]:
    """Blocks where shellcheck meets a parse error and bash -n agrees; a block with dots or angle brackets to fill in is left alone."""
    seen: set[int] = set()
    for complaint in context.complaints:
        block = complaint.block
        if complaint.level != "error" or not 1000 <= complaint.code < 2000 or block.number in seen:
            continue
        if complaint.code in (1090, 1091, 1128, 1017, 1082, 1083) or re.search(r"(?m)^\s*\.\.\.|<[\w .-]+>|…|\{\{", block.text):
            continue
        seen.add(block.number)
        refused = parses(block.text)
        if refused:
            row, said = refused
            line = block.line + row - 1
            yield Fault(context.place(line), f"bash refuses it: {said}")


@rule(
    "OB102", "wrong-language", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="A block tagged as one language that holds another",
    reason="Who pastes the block into what its tag names gets an error for every line; some lines even run as something else (timeout 300 is a program).",
    source="https://github.github.com/gfm/#info-string",
    bad=sh("CREATE USER reader;\nGRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;"),
    good=sql("CREATE USER reader;\nGRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;"),
)  # fmt: skip
def wrong_language(context: Context) -> Iterator[Fault]:
    """Tag and content disagree, and the content is one that would fail as what the tag says."""
    for fence in context.document.fences():
        told, really = _TAGGED.get(fence.tag.lower()), _REALLY.get(fence.language)
        if not told or not really or told == really or fence.language in ("env", "diagram", "text"):
            continue
        if told == "SQL" and fence.language == "sql":
            continue
        if told == "shell" and fence.language not in ("sql", "conf", "nginx", "python", "yaml", "json", "promql", "ini"):
            continue
        if told != "shell" and fence.language != "bash":
            continue
        if told == "JSON" or (told == "shell" and fence.language == "json" and not _is_json(fence.text)):
            continue
        first = next((n for n, text in enumerate(fence.text.split("\n")) if text.strip() and not re.match(r"\s*(?:#|--)", text)), 0)
        lead = fence.text.split("\n")[first]
        if told == "shell" and fence.language == "sql" and re.match(r"\s*(?:show|set|use)\b[^;]*$", lead, re.I):
            continue
        tag = {"conf": "conf", "ini": "ini"}.get(fence.language, fence.language)
        source = context.document.lines[fence.opening_line - 1]
        at = source.find(fence.tag)
        edits = (Edit(fence.opening_line, at + 1, at + 1 + len(fence.tag), tag),) if at >= 0 else ()
        yield Fault(context.place(fence.line), f"this is {really}, not {told}", Fix(f"tag the block {tag}", edits, safe=True))


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except ValueError:
        return False


@rule(
    "OB109", "prose-in-shell", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="Numbered prose inside a shell block",
    reason="The shell takes the number for a command: “1.: command not found”. A step that is prose belongs outside the block, so that what is inside can be run.",
    source="https://spec.commonmark.org/0.31.2/#list-items",
    bad=sh("1. Check pod status: kubectl get pods -n shop\n2. Restart if necessary: kubectl rollout restart deployment/api -n shop"),
    good=sh("# 1. Check pod status\nkubectl get pods -n shop\n# 2. Restart if necessary\nkubectl rollout restart deployment/api -n shop"),
)  # fmt: skip
def prose_in_shell(context: Context) -> Iterator[Fault]:
    """Lines of a shell-tagged block that are list items or ticked boxes; here-documents and strings are left alone."""
    for fence in context.document.fences():
        if _TAGGED.get(fence.tag.lower()) != "shell":
            continue
        lines = fence.text.split("\n")
        for step in (s for b in context.scripts if b.fence is fence for s in b.top):
            bare = step.command.argv[0] if step.command.argv else None
            key = bare is not None and re.fullmatch(r"[\w-]+:", bare.text) and len(step.words) > 1 and not re.match(r"https?:|file:", bare.text)
            prompt = bare is None and not step.command.assignments and step.command.redirects and re.fullmatch(r"[A-Z]{3,}", step.command.redirects[0].target.text)
            if key and bare is not None and bare.quote:
                yield Fault(step.place, f"output of a command, not a command: the shell looks for a program {bare.text}", Fix("put the output into a block of its own"), subject=f"output-{fence.line}")
            elif prompt:
                yield Fault(step.place, f"the shell writes a file {step.command.redirects[0].target.text}: > is a prompt here", Fix("give the command to the client, without its prompt"), subject=f"prompt-{fence.line}")
        hits = [n for n, line in enumerate(lines) if re.match(r"\s*(?:\d{1,2}\.\s+[A-Za-z]|[□☐✓✔•]\s*\w|- \[[ x]\] )", line)]
        if hits and not re.search(r"<<-?\s*['\"]?\w+", fence.text) and fence.text.count('"') % 2 == 0:
            yield Fault(context.place(fence.line + hits[0]), f"{len(hits)} line{'s are' if len(hits) > 1 else ' is'} prose: the shell takes “{lines[hits[0]].split()[0]}” for a command",
                        Fix("put the prose into comments or outside the block"))  # fmt: skip
    for fence in context.document.fences():
        if fence.tag.lower() in ("sql", "postgresql", "postgres", "mysql"):
            for number, line in enumerate(fence.text.split("\n")):
                if re.match(r"\s*(?:sudo |psql |mysql |docker |kubectl |pg_dump |pg_restore )", line):
                    yield Fault(context.place(fence.line + number), f"{line.split()[0]} is a shell command in an SQL block", Fix("a block of its own, tagged bash"))
                    break


@rule(
    "OB103", "curl-glob", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="Braces or brackets in a URL that curl takes for a pattern",
    reason="curl expands {a,b} and [1-5] in URLs itself; a PromQL selector in the address gives “bad range” (exit 3, silent with -s). Quotes do not help, they are the "
           "shell's.",
    source="https://curl.se/docs/manpage.html#-g",
    bad=sh("curl -s 'http://prometheus:9090/api/v1/query?query=rate(http_requests_total{code=~\"5..\"}[5m])'"),
    good=sh("curl -sG http://prometheus:9090/api/v1/query --data-urlencode 'query=rate(http_requests_total{code=~\"5..\"}[5m])'"),
)  # fmt: skip
def curl_glob(context: Context) -> Iterator[Fault]:
    """Unescaped { or [ in a URL after the shell's own quoting, without -g."""
    for step in context.calls("curl"):
        call = step.call
        assert call is not None
        if call.has("-g", "--globoff"):
            continue
        for word in call.args:
            text = re.sub(r"\$\{[^}]*\}", "", word.text)
            if not re.match(r"(?:https?://|\$|[\w.-]+[:/])", word.text) or not re.search(r"[?/]", text):
                continue
            if re.search(r"\[(?!\d+-\d+\]|[a-z]-[a-z]\]|(?=[^\]]*:)[\da-fA-F:.]+\])|\{(?!\{)[^}]*[=\"]", text):
                yield Fault(step.at(word), "curl expands { } and [ ] in the URL itself: bad range in URL", Fix("-G with --data-urlencode 'query=…', or -g"))


@rule(
    "OB104", "ampersand-in-url", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="A URL with & that the shell takes apart",
    reason="Unquoted, & ends the command and runs it in the background; the parameters behind it become an assignment.",
    source="https://www.shellcheck.net/wiki/SC2086",
    bad=sh("curl http://api.shop.internal/orders?limit=10&page=2"),
    good=sh("curl 'http://api.shop.internal/orders?limit=10&page=2'"),
)  # fmt: skip
def ampersand(context: Context) -> Iterator[Fault]:
    """curl or wget with a query, in the background, followed by NAME=value on the same line."""
    for block_ in context.blocks:
        top = block_.top
        for step, following in zip(top, top[1:], strict=False):
            url = step.command.argv[-1] if step.command.argv else None
            if url is None or step.program not in ("curl", "wget") or not step.command.background or url.quote:
                continue
            if "?" in url.text and following.command.line == step.command.line and not following.command.argv and following.command.assignments:
                yield Fault(step.at(url), "the shell ends the command at & and runs it in the background", Fix("put the URL into quotes"))


@rule(
    "OB105", "not-exported", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="Variables set beside exported ones, but not exported and not used",
    reason="A variable without export stays in this shell; the service that it should tune never sees it.",
    source="https://www.gnu.org/software/bash/manual/html_node/Environment.html",
    bad=sh("export GOGC=100\nDB_MAX_OPEN_CONNS=25"),
    good=sh("export GOGC=100\nexport DB_MAX_OPEN_CONNS=25"),
)  # fmt: skip
def not_exported(context: Context) -> Iterator[Fault]:
    """Bare assignments of capitals in a block that exports others and runs nothing that uses them."""
    for fence in context.document.fences():
        if fence.language not in ("bash", "env") or _TAGGED.get(fence.tag.lower()) != "shell":
            continue
        lines = fence.text.split("\n")
        if not any(re.match(r"\s*export\s+[A-Z_]\w*=", line) for line in lines):
            continue
        for number, line in enumerate(lines):
            found = re.match(r"\s*([A-Z][A-Z0-9_]*)=(?!.*(?:\$\(|`))\S*\s*(?:#.*)?$", line)
            if not found or re.search(rf"\$\{{?{found[1]}\b|export\s+(?:\w+\s+)*{found[1]}\b|set -a|allexport", fence.text):
                continue
            at = fence.at(sum(len(text) + 1 for text in lines[:number]) + found.start(1))
            edit = Edit(at[0], at[1], at[1], "export ")
            yield Fault(Place(*at), f"{found[1]} is not exported: no program sees it", Fix("export it", (edit,), safe=False), subject=f"export-{fence.line}")


@rule(
    "OB106", "secret-with-newline", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="A generated secret that breaks over two lines",
    reason="openssl rand -base64 breaks its output after 64 characters: more than 48 bytes give a newline inside the secret, which most programs take as part of it or "
           "cut off there.",
    source="https://docs.openssl.org/3.0/man1/openssl-rand/",
    bad=sh('kubectl create secret generic auth --from-literal=key="$(openssl rand -base64 64)" -n shop'),
    good=sh('kubectl create secret generic auth --from-literal=key="$(openssl rand -base64 48)" -n shop'),
)  # fmt: skip
def secret_with_newline(context: Context) -> Iterator[Fault]:
    """openssl rand -base64 with more than 48 bytes inside a substitution or redirected, no tr -d behind it."""
    for number, line in enumerate(context.document.lines, 1):
        found = re.search(r"openssl\s+rand\s+-base64\s+(\d+)", line)
        if found and int(found[1]) > 48 and re.search(r"\$\(|`", line[: found.start()]) and not re.search(r"tr -d|-A\b|head -c|cut|\\n", line[found.end() :]):
            yield Fault(context.place(number, found[0]), f"{found[1]} bytes print as two lines: the secret gets a newline inside",
                        Fix("at most 48 bytes, or | tr -d '\\n'"))  # fmt: skip


@rule(
    "OB107", "cron-percent", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="% in a crontab line",
    reason="cron turns an unescaped % into a newline and feeds the rest to the command's input: date +%Y in a crontab fails.",
    source="https://man7.org/linux/man-pages/man5/crontab.5.html",
    bad=block("cron", "0 3 * * * pg_dump -Fc shop > /backups/shop-$(date +%Y%m%d).dump"),
    good=block("cron", "0 3 * * * pg_dump -Fc shop > /backups/shop-$(date +\\%Y\\%m\\%d).dump"),
)  # fmt: skip
def cron_percent(context: Context) -> Iterator[Fault]:
    """Lines of five time fields and a command with an unescaped %."""
    for fence in context.document.fences():
        if fence.language in ("yaml", "sql", "diagram"):
            continue
        for number, text in enumerate(fence.text.split("\n")):
            found = re.match(r"\s*(?:(?:[\d*/,-]+)\s+){4}(?:[\d*/,-]+|[A-Za-z]{3}(?:-[A-Za-z]{3})?)\s+(?=[\w./])(.*)$", text)
            if found and re.search(r"(?<!\\)%", found[1]):
                yield Fault(context.place(fence.line + number, "%"), "cron ends the command at the %", Fix("write \\%"))


@rule(
    "OB108", "shellcheck", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="What shellcheck is sure of",
    reason="A table of shellcheck's findings that mean a command does not do what it says; matters of style and quoting are left out.",
    source="https://www.shellcheck.net/wiki/",
    bad=sh("sudo echo 'vm.overcommit_memory=1' >> /etc/sysctl.conf"),
    good=sh("echo 'vm.overcommit_memory=1' | sudo tee -a /etc/sysctl.conf"),
    needs="shellcheck",
)  # fmt: skip
def shellcheck(context: Context) -> Iterator[Fault]:
    """The codes of the table below."""
    for complaint in context.complaints:
        if complaint.code in _SURE and not (complaint.code == 2024 and not _OWNED.search(context.document.lines[complaint.line - 1])):
            yield Fault(Place(complaint.line, complaint.column), f"{_SURE[complaint.code]} (SC{complaint.code})")


_OWNED = re.compile(r"sudo (?!-u)[^|;&]*>\s*/(?:etc|var|root|usr|opt|proc|sys|lib)/")  # sudo -u with one's own file is what people want
_SURE = {
    2024: "sudo does not cover the redirection: the shell opens the file as you",
    2069: "stderr goes to the terminal: 2>&1 must stand after the redirection",
    2088: "a tilde in quotes stays a tilde",
    2094: "reads and writes the same file in one pipeline",
    2095: "ssh inside the loop eats the rest of the loop's input",
    2117: "su starts a shell that waits: the lines below run as you when it ends",
    2157: "this test is always true or always false",
    2216: "the pipe feeds a program that does not read its input",
    2217: "the redirection feeds a program that does not read its input",
    2224: "mv has no target",
    2225: "cp has no target",
    2259: "the redirection replaces what the pipe brings",
    2261: "several redirections compete for the same output",
}
