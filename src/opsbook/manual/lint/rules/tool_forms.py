"""Commands whose words are all known and yet do not go together: refused, or done otherwise than it looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, rule

_AWS_WAYS = r"(?!.*(?:--recursive|--cli-|\s-\s|\s-$))"
# Program, a pattern over its words, and what comes of it.
_REFUSED: tuple[tuple[str, str, str], ...] = (
    ("aws", rf"^aws (?:\S+ \S+ )*?s3 (?:cp|mv) {_AWS_WAYS}(?!s3:)\S*/ s3://", "a folder needs --recursive"),
    ("aws", rf"^aws (?:\S+ \S+ )*?s3 (?:cp|mv) {_AWS_WAYS}s3://\S+/ \S+", "a prefix needs --recursive"),
    ("aws", r"^aws (?:\S+ \S+ )*?s3 sync (?!.*(?:s3://|\$|--))\S+ \S+", "one of the two must be s3://"),
    (
        "kubectl",
        r"^kubectl apply (?!(?:.*\s)?(?:-f|-k|-R?f|--filename|--kustomize|--help|\$|view-|set-|edit-))",
        "needs -f or -k",
    ),
    (
        "kubectl",
        r"^kubectl set image (?:-\S+ \S+ )*(?:deploy(?:ment)?s?|sts|statefulsets?|ds|daemonsets?)/\S+ "
        r"(?!-|\$|(?:deploy|sts|ds|statefulset|daemonset)\w*(?:/| ))[^=\s]+(?: -|$)",
        "needs CONTAINER=IMAGE",
    ),
    ("kubectl", r"^kubectl scale (?:-\S+ \S+ )*(?:pods?|po)[ /]", "a pod cannot be scaled, its deployment can"),
    (
        "kubectl",
        r"^kubectl rollout \w+ (?:-\S+ \S+ )*(?:svc|services?|configmaps?|cm|secrets?)[ /]",
        "only deployments, stateful sets and daemon sets roll out",
    ),
    (
        "kubectl",
        r"^kubectl (?:delete|describe logs|logs) (?:-n \S+ )?(?:pods?|deploy|deployments?|svc|secrets?|jobs?)"
        r"(?: (?:-n|--namespace)[ =]\S+)?$",
        "names nothing: a name, -l or --all is needed",
    ),
    ("kubectl", r"^kubectl taint nodes? \S+ [^\s:]+=[^\s:$]+$", "a taint ends with its effect: key=value:NoSchedule"),
    ("kubectl", r"^kubectl label \S+ \S+ [\w./-]+:[\w.-]+$", "a label is written key=value"),
    ("systemctl", r"^systemctl (?:--\S+ )*(?:re)?start$|^systemctl (?:stop|enable|disable|reload)$", "names no unit"),
    ("systemctl", r"^systemctl .*\S\.(?:services|srvice|sevice|serivce|unit)\b", "a unit of that kind does not exist"),
    ("nginx", r"^nginx .*-s (?!stop\b|quit\b|reopen\b|reload\b|\$|<)\w+", "-s takes stop, quit, reopen or reload"),
    (
        "traefik",
        r"^traefik (?:reload|restart|stop|start|status|renew)\b",
        "traefik has healthcheck and version, no more",
    ),
    ("tar", r"^tar (?:-\S*c\S*f|c\w*f) \S+(?: -C \S+| --exclude[= ]\S+)*$", "is given nothing to pack"),
    ("find", r"-exec (?![\s\S]*(?:;|\+)(?:\s|$))\S+", "-exec needs its end: \\; or +"),
    (
        "kubectl",
        r"^kubectl (?:get|describe|edit) (?:logs?|replicas|restarts?)(?: |$)",
        "is no kind of resource",
    ),
    ("lsof", r"^lsof (?:-\w+ )*-i (?![46]$)\d+$", "a port is written with a colon: -i :8000"),
    ("pg_dump", r"^pg_dump (?!.*(?:-F ?d|--format[= ]?d))(?=.*\s(?:-j ?\d|--jobs))", "parallel dumps need -Fd"),
    ("pg_dump", r"^pg_dump (?=.*(?:-F ?d\b|--format[= ]?d))(?!.*(?:-f|--file))", "the directory format needs -f"),
    ("pg_dumpall", r"^pg_dumpall (?:.*\s)?(?:-F|--format)", "pg_dumpall writes plain SQL only"),
    ("alembic", r"^alembic upgrade(?: --\S+)*$", "needs a revision: head"),
    ("certbot", r"^certbot .*--renew(?:\s|$)", "the verb is renew, the flag --force-renewal"),
    ("openssl", r"^openssl s_client (?!.*-port)(?:.*\s)?-connect [\w.-]+(?:$|\s-)", "-connect takes HOST:PORT"),
    ("ssh", r"^ssh (?:-\w+ )*-P \d+ ", "ssh takes its port with -p"),
    ("rabbitmqctl", r"^rabbitmqctl .*\bset_permissions (?:-p \S+ )?\S+(?: \S+){0,2}$", "needs three patterns"),
    ("git", r"^git (?:-C \S+ )?checkout -b$|^git revert$", "names no commit or branch"),
    ("docker", r"^docker (?:exec|restart|stop|start|logs|rm|inspect)$", "names no container"),
    ("docker", r"^docker cp \S+$", "needs source and target"),
)
# What can only be a password: signs and digits among letters, the word itself, a variable of that name.
_TYPED_BEHIND_P = (
    r"(?:\$\{?\w*(?i:pass|pw)|(?i:\S*(?:passw|secret|changeme))|(?=\S*[A-Za-z])[\w.-]*[!@#%^&*?+]"
    r"|(?=\S*[a-z])(?=\S*[A-Z])(?=\S*\d))\S*"
)
# Program, a pattern over its words, and what it does instead.
_OTHERWISE: tuple[tuple[str, str, str], ...] = (
    ("scp", r"^scp (?:-\w+ )*-p \d+ ", "-p keeps times; the port is -P, and the number is taken for a file"),
    (
        "mysqldump",
        rf"^mysqldump .*\s-p {_TYPED_BEHIND_P}",
        "-p takes no word behind a blank: it is read as the database",
    ),
    ("mysql", rf"^mysql .*\s-p {_TYPED_BEHIND_P}", "-p takes no word behind a blank: it is read as the database"),
    ("pg_dump", r"^pg_dump (?:.*\s)?-W [^-\s]\S* [^-\s]", "-W takes no value: the word is read as the database"),
    ("pg_dump", rf"^pg_dump (?:.*\s)?-W {_TYPED_BEHIND_P}", "-W takes no value: the word is read as the database"),
)
_SILENT = (
    (
        "gunzip",
        r"^gunzip(?= )(?!.*(?:-\w*c|--stdout|--to-stdout))(?=.*\s[^-\s])",
        "gunzip without -c writes a file, nothing goes into the pipe",
    ),
    (
        "gzip",
        r"^gzip (?!(?:.*\s)?(?:-\w*c|--stdout))(?=(?:.*\s)?-\w*d)(?=.*\s[^-\s])",
        "gzip -d without -c writes a file, nothing goes into the pipe",
    ),
    (
        "tar",
        r"^tar -?\w*x(?!\w*O)(?!.*(?:-O|--to-stdout|--to-command))(?!.*-\w*v)",
        "tar x writes files, nothing goes into the pipe",
    ),
    ("wget", r"^wget (?!.*(?:-\w*O|--output-document))", "wget writes a file, nothing goes into the pipe"),
    ("aws", r"^aws .*s3 cp s3://\S+ (?!-(?:\s|$)|/dev/)\S+$", "the object goes into the file, not into the pipe"),
)
_READERS = frozenset(
    ["psql", "pg_restore", "mysql", "bash", "sh", "tar", "gunzip", "zcat", "redis-cli", "sudo", "docker", "kubectl"]
)


@rule(
    "OB362",
    "form-refused",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A command that lacks a part, or has two that exclude each other",
    reason="The tool ends with its usage. Nothing of the step is done, and in a script what follows runs all the same.",
    source="the tools' own help",
    bad=sh("aws s3 cp /srv/backup/ s3://shop-backups/daily/"),
    good=sh("aws s3 cp /srv/backup/ s3://shop-backups/daily/ --recursive"),
)
def form_refused(context: Context) -> Iterator[Fault]:
    """The table of forms."""
    for step in context.steps:
        told = _told(step, _REFUSED) or _lacking(step)
        if told:
            yield Fault(step.place, told)
        elif step.program == "sed" and _unterminated(step):
            yield Fault(step.place, "sed: the s command lacks its last delimiter")
        elif step.program == "pg_restore" and _parallel_from_input(step):
            yield Fault(step.place, "parallel restores read a file or folder, not standard input")


def _unterminated(step: Step) -> bool:
    """s and a delimiter of which there are only two: `s/old/new`."""
    plain = [word for word in step.command.argv[1:] if word.text and not word.text.startswith("-")]
    scripts = [w for before, w in pairwise(step.command.argv) if before.text in ("-e", "--expression")]
    for word in scripts or plain[:1]:
        found = re.match(r"s([/|#,:@!~])", word.text)
        if found and word.value is not None:
            pieces = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "", word.text[2:])
            return pieces.count(found[1]) < 2 and "\n" not in word.text
    return False


def _parallel_from_input(step: Step) -> bool:
    call = step.call
    fed = any(r.operator == "<" for r in step.command.redirects) or step.command.position > 0
    return bool(call and call.has("-j", "--jobs") and fed and not call.args and not _supplied(step))


def _supplied(step: Step) -> bool:
    """Whether xargs, parallel or find gives the command words that do not stand there."""
    outer = step.outer
    while outer is not None:
        if outer.program in ("xargs", "parallel", "find"):
            return True
        outer = outer.outer
    return False


def _lacking(step: Step) -> str:
    """helm without the chart or the release, read by its grammar."""
    call = step.call
    if call is None or call.tool != "helm" or call.has("-h", "--help") or _supplied(step) or call.unknown:
        return ""
    if any(word.placeholders or "$" in word.raw for word in step.command.argv):
        return ""
    if call.verb == "upgrade" and len(call.args) == 1:
        return "helm: needs the chart"
    return "helm: needs the release" if call.verb == "rollback" and not call.args else ""


def _told(step: Step, table: tuple[tuple[str, str, str], ...]) -> str:
    """What the table says of a command; nothing of one that is cut short or a person completes."""
    text = " ".join(step.words) + (" GIVEN GIVEN" if _supplied(step) else "")
    if "..." in text or "…" in text or any(word.placeholders for word in step.command.argv):
        return ""
    found = (told for program, pattern, told in table if step.program == program and re.search(pattern, text))
    told = next(found, "")
    return f"{step.program}: {told}" if told and table is _REFUSED else told


@rule(
    "OB363",
    "done-otherwise",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A command that is accepted and does something else than it looks",
    reason="There is no error to see. What the step was for has not happened, and the next one relies on it.",
    source="the tools' own manual pages",
    bad=sh("gunzip shop.sql.gz | psql -v ON_ERROR_STOP=1 shop_new"),
    good=sh("gunzip -c shop.sql.gz | psql -v ON_ERROR_STOP=1 shop_new"),
)
def done_otherwise(context: Context) -> Iterator[Fault]:
    """Words taken for others, patterns where names are asked for, and programs that put nothing into their pipe."""
    for step in context.steps:
        told = _told(step, _OTHERWISE)
        following = [s for s in step.block.pipeline(step) if s.command.position == step.command.position + 1]
        if not told and following and step.outer is None and following[0].program in _READERS:
            told = _told(step, _SILENT)
        told = told or _names_wanted(step) or _unended(step) or _elsewhere(step)
        if told:
            yield Fault(step.place, told)
        elif shown := _to_the_terminal(step):
            yield Fault(step.place, shown, severity=Severity.HINT)


_NAMED = frozenset(["del", "unlink", "get", "expire", "ttl", "exists"])


def _names_wanted(step: Step) -> str:
    """A pattern where redis-cli's command takes names; `config get` and `scan` are other commands."""
    call = step.call if step.program in ("redis-cli", "valkey-cli") else None
    if call is None or not call.words or call.words[0].lower() not in _NAMED:
        return ""
    return "takes names, not patterns" if any("*" in word for word in call.words[1:2]) else ""


# What comes to an end by itself: the log of a job by its kind or name, and what follows a process.
_ENDS = re.compile(
    r"(?i)^tail .*--pid|--follow[= ]false|"
    r"^(?!tail).*(?:job|migrat|backup|restore|init|seed|batch|task|build|test|import)"
)
_FOLLOWS = re.compile(
    r"^tail (?:\S+ )*(?:-\w*[fF]\w*|--follow)|^"
    r"(?:journalctl|kubectl logs|docker(?: compose)? logs) (?:\S+ )*(?:-f|--follow)\b"
)


def _unended(step: Step) -> str:
    """sort, wc, uniq -c or tail behind a command that follows a log."""
    rest = [s for s in step.block.pipeline(step) if s.command.position > step.command.position]
    text = " ".join(step.words)
    if step.outer is None and rest and _FOLLOWS.search(text) and not _ENDS.search(text):
        waits = next((s.program for s in rest if s.program in ("sort", "wc", "tail", "tac")), "")
        return f"{waits} waits for an end that {step.program} -f never comes to" if waits else ""
    return ""


def _elsewhere(step: Step) -> str:
    """`redis-cli -h HOST … | xargs redis-cli …`: the second asks this machine."""
    first = next(iter(step.block.pipeline(step)), None)
    if step.program != "redis-cli" or step.outer is None or step.outer.program != "xargs" or first is None:
        return ""
    far = first.program == "redis-cli" and first.call is not None and first.call.has("-h", "-u", "-p", "-s")
    if first.call and first.call.value("-h") in ("localhost", "127.0.0.1", "::1") and not first.call.has("-p"):
        return ""
    near = step.call is not None and not step.call.has("-h", "-u", "-p", "-s")
    return "runs against this machine: the host is given to the first redis-cli only" if far and near else ""


def _to_the_terminal(step: Step) -> str:
    """gpg -d of a file with its output left to the terminal."""
    text = " ".join(step.words)
    if step.program not in ("gpg", "gpg2") or not re.search(r"\s(?:-d|--decrypt)\b", text) or step.outer is not None:
        return ""
    kept = re.search(r"\s(?:-o|--output)\b", text) or step.command.redirects or step.command.length > 1
    return "" if kept else "writes the plain text to the terminal: nothing is kept"
