"""Arguments that tools read otherwise than the author meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, sql
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule


@rule(
    "OB355",
    "logs-cut-short",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="kubectl logs by a label, searched without --tail",
    reason="With a selector kubectl shows the last ten lines of each pod, whatever --since says: the error is "
    "above them.",
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_logs/",
    bad=sh("kubectl logs -l app=api -n shop --since=1h | grep ERROR"),
    good=sh("kubectl logs -l app=api -n shop --since=1h --tail=-1 | grep ERROR"),
)
def logs_cut_short(context: Context) -> Iterator[Fault]:
    """-l without --tail, with --since or piped into a filter; -f alone is left."""
    for step in context.calls("kubectl", "logs"):
        call = step.call
        assert call is not None
        if not call.has("-l", "--selector") or call.has("--tail", "-f", "--follow"):
            continue
        if call.has("--since", "--since-time") or step.command.position < step.command.length - 1:
            yield Fault(
                step.place, "with -l only the last ten lines of each pod are shown", Fix("--tail=-1"), subject="logs-l"
            )


_WANTS = (
    ("kubectl", r"^kubectl scale\b(?!.*--replicas)(?!.*(?:-f|--filename)\b)", "kubectl scale needs --replicas=N"),
    ("alembic", r"^alembic(?:\s+-\S+\s+\S+)*\s+upgrade\s*$", "alembic upgrade needs a revision: head"),
    ("alembic", r"^alembic(?:\s+-\S+\s+\S+)*\s+downgrade\s*$", "alembic downgrade needs a revision: -1"),
    ("celery", r"^celery\b.*\bpurge\b.*\s--queue\s", "celery purge takes -Q or --queues"),
    ("pg_dump", r"^pg_dump\b.*\s(?:-F\s*|--format[= ])(?!c|d|t|p|custom\b|directory\b|tar\b|plain\b|\$|\")\w+",
     "pg_dump -F takes c, d, t or p"),
    ("tar", r"^tar\s+-?\w*f\w+\s+\S", "f takes the next letters as the archive's name: f comes last"),
    ("tar", r"^tar\s+-\w*f\s+-\w\s", "f takes the next word as the archive's name: the option behind it is eaten"),
    ("aws", r"^aws s3 cp\s+(?!s3://)\S+/\s+s3://\S*(?!.*--recursive)\s*$", "aws s3 cp of a folder needs --recursive"),
    ("aws", r"^aws s3 cp\s+s3://\S+/\s+\S+(?!.*--recursive)\s*$", "aws s3 cp of a prefix needs --recursive"),
    ("docker", r"^docker (?:re)?start\s+--all\b", "docker has no --all here: docker restart $(docker ps -q)"),
)  # fmt: skip


@rule(
    "OB356",
    "argument-missing",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A command without an argument that it needs, or with one in the wrong place",
    reason="The tool ends with its usage, or takes one word for another; nothing of the step is done.",
    source="the tools' own help",
    bad=sh("kubectl scale deployment/api 3 -n shop"),
    good=sh("kubectl scale deployment/api --replicas=3 -n shop"),
)
def argument_missing(context: Context) -> Iterator[Fault]:
    """The table of needed arguments and of tar's order."""
    for step in context.steps:
        text = " ".join(step.words)
        for program, pattern, told in _WANTS:
            if step.program == program and re.search(pattern, text) and "..." not in text:
                if program == "tar" and re.match(r"tar\s+-?\w*f\w*[zJjv]*\s+-C", text) and not text.startswith("tar -"):
                    continue
                yield Fault(step.place, told)
                break


_FLOAT = re.compile(
    r"::\s*(?:float\d?|double precision|real)\b|CAST\([^()]*AS\s+(?:float\d?|double precision|real)\)", re.I
)


@rule(
    "OB224",
    "round-of-float",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="round(…, n) of a floating-point number",
    reason="PostgreSQL has round(numeric, integer) only: “function round(double precision, integer) does not exist”.",
    source="https://www.postgresql.org/docs/current/functions-math.html",
    bad=sql("SELECT round((n_dead_tup::float / n_live_tup) * 100, 2) FROM pg_stat_user_tables;"),
    good=sql("SELECT round((n_dead_tup::numeric / n_live_tup) * 100, 2) FROM pg_stat_user_tables;"),
)
def round_of_float(context: Context) -> Iterator[Fault]:
    """round with two arguments whose first casts to float at its own level, and never to numeric."""
    for statement in context.statements:
        if statement.dialect != "postgres":
            continue
        for start in re.finditer(r"\bround\s*\(", statement.text, re.I):
            first, more = _first_argument(statement.text[start.end() :])
            if not more or not _FLOAT.search(first) or re.search(r"::\s*(?:numeric|decimal)|AS numeric", first, re.I):
                continue
            line, column = statement.locate(start.start())
            yield Fault(
                Place(line, column),
                "function round(double precision, integer) does not exist",
                Fix("cast to numeric: round((…)::numeric, 2)"),
                subject="round",
            )


def _first_argument(text: str) -> tuple[str, bool]:
    """The text up to the first comma of the call, and whether an integer is its second argument."""
    depth = 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return text[:at], False
        if char == "," and depth == 0:
            return text[:at], bool(re.match(r"\s*\d+\s*\)", text[at + 1 :]))
    return text, False


@rule(
    "OB225",
    "statement-of-another-server",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="MySQL's statements given to psql",
    reason="PostgreSQL knows neither SHOW TABLES nor SHOW PROCESSLIST nor DESCRIBE: psql has \\dt, \\d and "
    "pg_stat_activity.",
    source="https://www.postgresql.org/docs/current/sql-show.html",
    bad=sh('psql -U shop -d shop -c "SHOW TABLES"'),
    good=sh('psql -U shop -d shop -c "\\dt"'),
)
def another_server(context: Context) -> Iterator[Fault]:
    """SHOW TABLES, DATABASES, PROCESSLIST; DESCRIBE; USE in a statement of psql."""
    for step in context.steps:
        if step.program != "psql" or step.call is None:
            continue
        for text in step.call.values("-c", "--command"):
            found = re.match(
                r"\s*(SHOW (?:FULL )?(?:TABLES|DATABASES|PROCESSLIST|COLUMNS|INDEX(?:ES)?|GRANTS)|DESC(?:RIBE)? "
                r"\w|USE \w)",
                text,
                re.I,
            )
            if found:
                yield Fault(step.place, f"PostgreSQL knows no {found[1].upper()}", Fix("\\dt, \\l, \\d NAME"))


_MAC = {
    "open": r"^open\s+(?:-a\s+\S+\s+)?(?:https?://|\S+\.html)",
    "brew": r"^brew\s+(?:services|install|upgrade)\b",
    "launchctl": r"^launchctl\s",
    "pbcopy": r"^pbcopy\b",
    "sed": r"^sed\s+-i\s+''\s",
    "date": r"^date\s+-v[+-]?\d",
}
_LINUX = re.compile(
    r"\bubuntu|debian|\bapt(?:-get)? |systemctl|journalctl|/etc/systemd|\byum |\bdnf |/var/lib/docker|amazon "
    r"linux|\bec2\b|centos|rhel"
)


@rule(
    "OB357",
    "command-of-a-mac",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A command of macOS in a manual for Linux hosts",
    reason="On the server the command does not exist, or means another thing (open, date -v, sed -i '').",
    source="https://ss64.com/mac/open.html",
    bad="The host runs Ubuntu 24.04.\n\n" + sh("open http://localhost:3000"),
    good="The host runs Ubuntu 24.04.\n\n" + sh("xdg-open http://localhost:3000"),
)
def command_of_a_mac(context: Context) -> Iterator[Fault]:
    """The table, where the manual speaks of Linux and never of macOS."""
    if not _LINUX.search(context.text) or re.search(r"mac ?os|\bos x\b|\bmac\b", context.text):
        return
    for step in context.steps:
        pattern = _MAC.get(step.program)
        text = step.command.text
        if pattern and step.container is None and re.search(pattern, text):
            yield Fault(
                step.place, f"{step.program} as written here is macOS', the hosts are Linux", subject=step.program
            )


_RESTARTS = re.compile(
    r"docker(?:-| )compose\b.*\b(?:restart|up|start)\b|systemctl (?:restart|start)|docker (?:restart|start)|pm2 "
    r"(?:restart|start)|supervisorctl"
)


@rule(
    "OB143",
    "setting-of-this-shell",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A setting is typed into the shell and a service restarted that does not see it",
    reason=(
        "NAME=value sets a variable of this shell, not exported and not written anywhere. The service reads its "
        ".env or "
        "its unit: it starts again as it was."
    ),
    source="https://docs.docker.com/compose/how-tos/environment-variables/envvars-precedence/",
    bad=sh("# Raise the limit\nMAX_WORKERS=8\ndocker compose restart api"),
    good=sh("# Raise the limit\nsed -i 's/^MAX_WORKERS=.*/MAX_WORKERS=8/' .env\ndocker compose up -d api"),
)
def setting_of_this_shell(context: Context) -> Iterator[Fault]:
    """Blocks of bare assignments in capitals that no step uses, with a restart behind them."""
    for block in context.scripts:
        if block.text.startswith("#!") or re.search(r"\bset -a\b|\bexport\b", block.text):
            continue
        bare: list[Step] = [s for s in block.top if not s.command.argv and s.command.assignments]
        restart = next((s for s in block.top if _RESTARTS.search(s.command.text)), None)
        for step in bare:
            for assignment in step.command.assignments:
                used = re.search(rf"\$\{{?{assignment.name}\b", block.text)
                if restart and restart.index > step.index and assignment.name.isupper() and not used:
                    static = assignment.value.value is not None and not assignment.value.substitutions
                    if static and re.search(r"compose|systemctl|pm2|docker|supervisorctl", restart.command.text):
                        yield Fault(
                            Place(assignment.line, assignment.column),
                            f"{assignment.name} is set in this shell only: {restart.program} does not see it",
                            Fix("write it to .env, and recreate the container"),
                            subject=f"shell-{block.number}",
                        )


@rule(
    "OB144",
    "newest-by-name",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="The latest file looked for by ls | head, which sorts by name",
    reason="Without -t ls sorts by name: head shows the first of the alphabet, among dated names the oldest.",
    source="https://www.gnu.org/software/coreutils/manual/html_node/Sorting-the-output.html",
    bad=sh("# Find the latest backup\nls -la /backups/ | head -10"),
    good=sh("# Find the latest backup\nls -lt /backups/ | head -10"),
)
def newest_by_name(context: Context) -> Iterator[Fault]:
    """ls without -t (and sort) piped into head, under a comment or in a variable that says latest, newest or recent."""
    for step in context.steps:
        if step.program != "ls" or any(re.match(r"-\w*[tS]|--sort", w) for w in step.words[1:]):
            continue
        line = step.block.pipeline(step)
        texts = [s.command.text for s in line[1:]] if len(line) > 1 else []
        said = f"{step.comment} {' '.join(a.name for s in line for a in s.command.assignments)}"
        if texts and texts[0].startswith("head") and re.search(r"latest|newest|most recent|recent", said, re.I):
            yield Fault(step.place, "ls sorts by name: head shows the first, not the latest", Fix("ls -t"))


@rule(
    "OB559",
    "home-of-one-person",
    FaultClass.ROT,
    Severity.WARNING,
    summary="A path in one developer's home folder",
    reason="On the server, and for every other reader, the folder does not exist: the step was written on a laptop.",
    source="https://specifications.freedesktop.org/basedir-spec/latest/",
    bad=sh("cd /Users/anna/projects/shop\ndocker compose up -d"),
    good=sh("cd /srv/shop\ndocker compose up -d"),
)
def home_of_one_person(context: Context) -> Iterator[Fault]:
    """/Users/NAME/… and /home/NAME/ with a developer's folder below it."""
    own = re.compile(
        r"(/Users/(?!Shared|runner|your|<|\$|name|username)[\w.-]+/[\w.-]+"
        r"|/home/(?!ubuntu|user|app|deploy|runner|ec2-user|node|www|git|postgres|your|<|\$)[\w.-]+/(?:Development|[Pp]rojects?|Desktop|Documents|"
        r"Downloads|[Ww]orkspaces?|[Dd]ev|[Cc]ode|[Rr]epos?|[Gg]it(?:hub)?|[Ss]rc)\b)"
    )
    for number, line in enumerate(context.document.lines, 1):
        found = own.search(line)
        if found:
            yield Fault(context.place(number, found[1]), f"{found[1]} is one person's folder", subject="home")
