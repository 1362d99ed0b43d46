"""Shell words that mean something else: globs, ampersands, percent signs, newlines, assignments."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import block, sh
from opsbook.manual.lint.facts.tags import TAGGED
from opsbook.manual.lint.finding import Edit, FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule


@rule(
    "OB103",
    "curl-glob",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="Braces or brackets in a URL that curl takes for a pattern",
    reason=(
        "curl expands {a,b} and [1-5] in URLs itself; a PromQL selector in the address gives "
        "“bad range” (exit 3, silent with -s). Quotes do not help, they are the shell's."
    ),
    source="https://curl.se/docs/manpage.html#-g",
    bad=sh("curl -s 'http://prometheus:9090/api/v1/query?query=rate(http_requests_total{code=~\"5..\"}[5m])'"),
    good=sh(
        "curl -sG http://prometheus:9090/api/v1/query --data-urlencode "
        "'query=rate(http_requests_total{code=~\"5..\"}[5m])'"
    ),
)
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
                yield Fault(
                    step.at(word),
                    "curl expands { } and [ ] in the URL itself: bad range in URL",
                    Fix("-G with --data-urlencode 'query=…', or -g"),
                )


@rule(
    "OB104",
    "ampersand-in-url",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A URL with & that the shell takes apart",
    reason=(
        "Unquoted, & ends the command and runs it in the background; the parameters behind it become an assignment."
    ),
    source="https://www.shellcheck.net/wiki/SC2086",
    bad=sh("curl http://api.shop.internal/orders?limit=10&page=2"),
    good=sh("curl 'http://api.shop.internal/orders?limit=10&page=2'"),
)
def ampersand(context: Context) -> Iterator[Fault]:
    """curl or wget with a query, in the background, followed by NAME=value on the same line."""
    for block_ in context.blocks:
        top = block_.top
        for step, following in itertools.pairwise(top):
            url = step.command.argv[-1] if step.command.argv else None
            if url is None or step.program not in ("curl", "wget") or not step.command.background or url.quote:
                continue
            if (
                "?" in url.text
                and following.command.line == step.command.line
                and not following.command.argv
                and following.command.assignments
            ):
                yield Fault(
                    step.at(url),
                    "the shell ends the command at & and runs it in the background",
                    Fix("put the URL into quotes"),
                )


@rule(
    "OB105",
    "not-exported",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="Variables set beside exported ones, but not exported and not used",
    reason=("A variable without export stays in this shell; the service that it should tune never sees it."),
    source="https://www.gnu.org/software/bash/manual/html_node/Environment.html",
    bad=sh("export GOGC=100\nDB_MAX_OPEN_CONNS=25"),
    good=sh("export GOGC=100\nexport DB_MAX_OPEN_CONNS=25"),
)
def not_exported(context: Context) -> Iterator[Fault]:
    """Bare assignments of capitals in a block that exports others and runs nothing that uses them."""
    for fence in context.document.fences():
        if fence.language not in ("bash", "env") or TAGGED.get(fence.tag.lower()) != "shell":
            continue
        lines = fence.text.split("\n")
        if not any(re.match(r"\s*export\s+[A-Z_]\w*=", line) for line in lines):
            continue
        for number, line in enumerate(lines):
            found = re.match(r"\s*([A-Z][A-Z0-9_]*)=(?!.*(?:\$\(|`))\S*\s*(?:#.*)?$", line)
            if not found or re.search(
                rf"\$\{{?{found[1]}\b|export\s+(?:\w+\s+)*{found[1]}\b|set -a|allexport", fence.text
            ):
                continue
            at = fence.at(sum(len(text) + 1 for text in lines[:number]) + found.start(1))
            edit = Edit(at[0], at[1], at[1], "export ")
            yield Fault(
                Place(*at),
                f"{found[1]} is not exported: no program sees it",
                Fix("export it", (edit,), safe=False),
                subject=f"export-{fence.line}",
            )


@rule(
    "OB106",
    "secret-with-newline",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A generated secret that breaks over two lines",
    reason=(
        "openssl rand -base64 breaks its output after 64 characters: more than 48 bytes give "
        "a newline inside the secret, which most programs take as part of it or cut off "
        "there."
    ),
    source="https://docs.openssl.org/3.0/man1/openssl-rand/",
    bad=sh('kubectl create secret generic auth --from-literal=key="$(openssl rand -base64 64)" -n shop'),
    good=sh('kubectl create secret generic auth --from-literal=key="$(openssl rand -base64 48)" -n shop'),
)
def secret_with_newline(context: Context) -> Iterator[Fault]:
    """openssl rand -base64 with more than 48 bytes inside a substitution or redirected, no tr -d behind it."""
    for number, line in enumerate(context.document.lines, 1):
        found = re.search(r"openssl\s+rand\s+-base64\s+(\d+)", line)
        if (
            found
            and int(found[1]) > 48
            and re.search(r"\$\(|`", line[: found.start()])
            and not re.search(r"tr -d|-A\b|head -c|cut|\\n", line[found.end() :])
        ):
            yield Fault(
                context.place(number, found[0]),
                f"{found[1]} bytes print as two lines: the secret gets a newline inside",
                Fix("at most 48 bytes, or | tr -d '\\n'"),
            )


@rule(
    "OB107",
    "cron-percent",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="% in a crontab line",
    reason=(
        "cron turns an unescaped % into a newline and feeds the rest to the command's input: "
        "date +%Y in a crontab fails."
    ),
    source="https://man7.org/linux/man-pages/man5/crontab.5.html",
    bad=block("cron", "0 3 * * * pg_dump -Fc shop > /backups/shop-$(date +%Y%m%d).dump"),
    good=block("cron", "0 3 * * * pg_dump -Fc shop > /backups/shop-$(date +\\%Y\\%m\\%d).dump"),
)
def cron_percent(context: Context) -> Iterator[Fault]:
    """Lines of five time fields and a command with an unescaped %."""
    for fence in context.document.fences():
        if fence.language in ("yaml", "sql", "diagram"):
            continue
        for number, text in enumerate(fence.text.split("\n")):
            found = re.match(
                r"\s*(?:(?:[\d*/,-]+)\s+){4}(?:[\d*/,-]+|[A-Za-z]{3}(?:-[A-Za-z]{3})?)\s+(?=[\w./])(.*)$", text
            )
            if found and re.search(r"(?<!\\)%", found[1]):
                yield Fault(context.place(fence.line + number, "%"), "cron ends the command at the %", Fix("write \\%"))
