"""Traps of the shell: a file read and emptied at once, a program's text expanded, a name with a letter wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_FILTERS = frozenset("sort uniq sed awk grep egrep cat tr cut head tail jq yq envsubst tac fold iconv".split())  # noqa: SIM905


@rule(
    "OB145",
    "read-and-emptied",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="A filter that reads the file that its own output empties",
    reason="The shell opens the target and empties it before the program starts: what it reads is an empty file.",
    source="https://www.shellcheck.net/wiki/SC2094",
    bad=sh("sed 's/debug/info/' /etc/shop/app.conf > /etc/shop/app.conf"),
    good=sh("sed -i.bak 's/debug/info/' /etc/shop/app.conf"),
)
def read_and_emptied(context: Context) -> Iterator[Fault]:
    """`filter FILE > FILE`, in one command or over a pipe."""
    for step in context.steps:
        for redirect in step.command.redirects:
            if redirect.operator not in (">", ">|") or redirect.descriptor not in (-1, 1):
                continue
            target = redirect.target.text
            read = [s for s in step.block.pipeline(step) if s.program in _FILTERS and target in s.words[1:]]
            if read and not target.startswith("/dev/") and step.outer is None:
                yield Fault(step.place, f"empties {target} before it is read", Fix("write to another file, then mv"))


@rule(
    "OB146",
    "field-expanded",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="awk's fields in double quotes, where the shell takes them for its own parameters",
    reason="In double quotes $2 is the shell's second parameter, empty as a rule: awk prints whole lines.",
    source="https://www.gnu.org/software/gawk/manual/html_node/Quoting.html",
    bad=sh('docker ps | awk "{print $1}"'),
    good=sh("docker ps | awk '{print $1}'"),
)
def field_expanded(context: Context) -> Iterator[Fault]:
    """A program for awk whose word the shell expands, with $1 to $9 in it; none of a function or a script."""
    for step in context.steps:
        if step.program not in ("awk", "gawk", "mawk") or step.block.text.startswith("#!"):
            continue
        for word in step.command.argv[1:]:
            if word.quote == '"' and _FIELD.search(word.raw) and step.outer is None and not _in_function(step):
                yield Fault(step.at(word), "the shell fills in $1 … before awk sees them", Fix("single quotes"))


# A field that awk prints or adds up: one in a pattern ahead of the braces is more often a parameter that is meant.
_FIELD = re.compile(r"\{[^}]*(?<!\\)\$\d")


def _in_function(step: Step) -> bool:
    return any(enclosure.kind == "function" for enclosure in step.command.within)


@rule(
    "OB147",
    "variable-misspelt",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A variable that is set nowhere, one letter from one that the block sets",
    reason="An unset variable is the empty word: the path is cut short, and the command acts on something else.",
    source="https://www.shellcheck.net/wiki/SC2153",
    bad=sh("STAMP=$(date +%F)\npg_dump -Fc shop -f shop-$STAMP.dump\nrm shop-$STMP.dump"),
    good=sh("STAMP=$(date +%F)\npg_dump -Fc shop -f shop-$STAMP.dump\nrm shop-$STAMP.dump"),
)
def variable_misspelt(context: Context) -> Iterator[Fault]:
    """Used once and set nowhere in the manual, while the block sets and uses one whose name is almost the same."""
    whole = "\n".join(context.document.lines)
    for block in context.scripts:
        if _TAKES_OTHERS.search(block.text):
            continue
        given = {a.name for step in block.steps for a in step.command.assignments}
        given |= set(re.findall(r"\b(?:read(?: -\w+)*|for|export|local|declare(?: -\w+)*) ([A-Za-z_]\w*)", block.text))
        for step in block.top:
            words = (*step.command.argv, *(r.target for r in step.command.redirects))
            for word in words:
                for name in word.variables:
                    near = _near(name, given)
                    if not near or len(re.findall(rf"\b{name}\b", whole)) > 1 or f"{{{name}:" in word.raw:
                        continue
                    fault = f"${name} is set nowhere; ${near} is"
                    plural = Severity.HINT if f"{name}S" == near or f"{near}S" == name else None
                    yield Fault(step.at(word), fault, Fix(f"${near}"), subject=name, severity=plural)


# A block that reads a file of settings, or has a program set some: what is set cannot be seen.
_TAKES_OTHERS = re.compile(r"(?m)(?:^|[;&|(]\s*)\s*(?:source|\.|eval|export \$\(|printf -v|getopts|let)\s")
# What the shell, the system and well-known programs set or read.
_OF_THE_ENVIRONMENT = re.compile(
    r"(?:PG|AWS|DOCKER|COMPOSE|KUBE|HELM|GIT|CI|GITHUB|GITLAB|LC|XDG|SSH|SUDO|MYSQL|POSTGRES|REDIS|RABBITMQ|AZURE|ARM|"
    r"GOOGLE|GCP|CLOUDSDK|GCLOUD|TF|VAULT|CONSUL|NOMAD|RESTIC|BORG|PYTHON|NODE|NPM|JAVA|DJANGO|FLASK|RAILS|ETCDCTL|ANSIBLE|"
    r"VELERO|ARGOCD|MINIO|S3|DEBIAN|BASH|POD|SYSTEMD|MONGO|KAFKA|CELERY|SENTRY|SLACK|PAGERDUTY)(?:_?[A-Z]\w*)?|"
    r"USER|USERNAME|HOME|PATH|HOSTNAME|HOST|HOSTTYPE|MACHTYPE|OSTYPE|SHELL|SHLVL|LANG|LANGUAGE|LOGNAME|MAIL|TERM|TMPDIR|TEMP|"
    r"PWD|OLDPWD|UID|EUID|GROUPS|PPID|RANDOM|SECONDS|LINENO|FUNCNAME|PIPESTATUS|OPTARG|OPTIND|REPLY|IFS|COLUMNS|LINES|"
    r"EDITOR|VISUAL|PAGER|DISPLAY|EPOCHSECONDS|EPOCHREALTIME|DATABASE_URL|NAMESPACE|(?:HTTPS?|NO|ALL)_PROXY"
)


def _near(name: str, given: set[str]) -> str:
    """The set name that another is one letter from; nothing for A and B, 1 and 2 of a pair, or a program's own."""
    if len(name) < 4 or name in given or re.search(r"\d$|_\w$", name) or _OF_THE_ENVIRONMENT.fullmatch(name.upper()):
        return ""
    close = difflib.get_close_matches(name, sorted(given), 1, 0.85)
    alike = close and abs(len(close[0]) - len(name)) <= 1 and close[0].lower() != name.lower()
    return close[0] if alike and not re.search(r"\d$|_\w$", close[0]) else ""
