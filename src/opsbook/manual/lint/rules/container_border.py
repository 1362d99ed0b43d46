"""What does not cross into a container: input, shell builtins, settings, files; and containers that are gone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.redis import redis_words
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import Edit, FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_TOOLS = ("kubectl", "docker", "docker compose")


def _execs(context: Context) -> Iterator[Step]:
    for step in context.steps:
        if step.call is not None and step.call.verb == "exec" and step.call.tool in _TOOLS and step.outer is None:
            yield step


def _fed(step: Step) -> bool:
    """Whether something is to be read from standard input: a pipe, a redirection, a here-document."""
    return (
        step.command.position > 0
        or step.command.heredoc is not None
        or any(r.operator in ("<", "<<", "<<-", "<<<") for r in step.command.redirects)
    )


_READS = frozenset(
    {"psql", "mysql", "mariadb", "pg_restore", "mongorestore", "mongosh", "mongo", "redis-cli", "sh", "bash", "tar"}
    | {"gunzip", "gzip", "cat", "tee", "python", "python3", "xargs", "sqlite3"}
)


@rule(
    "OB131",
    "input-left-outside",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="Input piped into a container that does not take it",
    reason=(
        "docker exec and kubectl exec close standard input unless -i is given: the program inside reads nothing and "
        "ends with 0, so a restore looks done. docker compose exec asks for a terminal unless -T is given: “the input "
        "device is not a TTY”."
    ),
    source="https://docs.docker.com/reference/cli/docker/container/exec/",
    bad=sh("docker exec db psql -U shop -d shop_new -v ON_ERROR_STOP=1 < shop.sql"),
    good=sh("docker exec -i db psql -U shop -d shop_new -v ON_ERROR_STOP=1 < shop.sql"),
)
def input_left_outside(context: Context) -> Iterator[Fault]:
    """exec of a program that reads, fed by a pipe or file: without -i; of compose without -T."""
    for step in _execs(context):
        call = step.call
        assert call is not None
        inner = next((s for s in step.block.steps if s.outer is step), None)
        if not _fed(step) or inner is None or inner.program not in _READS:
            continue
        if inner.call is not None and inner.call.has("-c", "--command", "-e", "-f", "--execute") and not _named(step):
            continue  # it is told what to do, and need not read
        compose = call.tool == "docker compose"
        if compose and not call.has("-T", "--no-tty", "--no-TTY"):
            yield Fault(
                step.place, "the input device is not a TTY: compose exec needs -T here", _insert(step, "exec", "-T")
            )
        elif not compose and not call.has("-i", "--stdin", "--interactive", "-t", "--tty"):
            yield Fault(step.place, f"without -i {inner.program} inside reads nothing", _insert(step, "exec", "-i"))


def _named(step: Step) -> bool:
    return any(r.operator == "<" for r in step.command.redirects)


def _insert(step: Step, verb: str, flag: str) -> Fix:
    word = next((w for w in step.command.argv if w.text == verb), None)
    if word is None or word.line != word.end_line:
        return Fix(f"exec {flag}")
    return Fix(f"exec {flag}", (Edit(word.line, word.end_column, word.end_column, f" {flag}"),), safe=True)


_BUILTINS = frozenset({"cd", "export", "source", "alias", "ulimit", "set", "unset", "."})


@rule(
    "OB132",
    "builtin-in-container",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A shell's builtin run by exec, or a setting made in a shell that ends at once",
    reason=(
        "exec starts a program, not a shell: cd and export are no programs, and what stands behind && runs on this "
        "host. A variable exported in a shell of its own reaches neither the running server nor what its supervisor "
        "starts again."
    ),
    source="https://docs.docker.com/reference/cli/docker/container/exec/",
    bad=sh("docker exec api cd /app && python manage.py migrate"),
    good=sh("docker exec -w /app api python manage.py migrate"),
)
def builtin_in_container(context: Context) -> Iterator[Fault]:
    """exec … cd/export/source; sh -c "export X=… && supervisorctl restart …" in a container."""
    for step in _execs(context):
        call = step.call
        assert call is not None
        rest = call.rest or (call.args[1:] if call.tool == "kubectl" else ())
        first = rest[0].text if rest else ""
        if first in _BUILTINS:
            yield Fault(
                step.at(rest[0]), f"{first} is the shell's, not a program: exec does not find it", Fix("sh -c '…'")
            )
    for step in context.steps:
        if step.container is None or step.program != "export" or not step.command.via:
            continue
        later = [s for s in step.block.steps if s.outer is step.outer and s.index > step.index]
        asks = re.compile(r"supervisorctl|service|systemctl|pm2|kill|nginx|apachectl|reload|restart")
        if not later or all(asks.match(s.program) for s in later):
            yield Fault(
                step.outermost.place,
                "the variable lives in this shell only: the running server does not see it, nor does what is restarted",
                Fix("change the container's environment and recreate it"),
            )


@rule(
    "OB133",
    "exec-after-down",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A command in a container that the same block has taken down",
    reason="down removes the containers, stop ends them: exec answers “No such container” or “is not running”.",
    source="https://docs.docker.com/reference/cli/docker/compose/down/",
    bad=sh("docker compose down\ndocker compose exec -T db psql -U shop -d shop -c 'SELECT 1'"),
    good=sh("docker compose stop api\ndocker compose exec -T db psql -U shop -d shop -c 'SELECT 1'"),
)
def exec_after_down(context: Context) -> Iterator[Fault]:
    """exec behind compose down, or behind a stop of the same service, with no up, start or run between."""
    for block in context.scripts:
        gone: set[str] = set()
        for step in block.top:
            call = step.call
            if call is None or call.tool not in ("docker", "docker compose"):
                if re.search(r"\bup\b|start|deploy|\.sh\b", step.command.text):
                    gone = set()
                continue
            names = {w for w in call.words[:1] if "$" not in w}
            if call.tool == "docker compose" and call.verb == "down" and not call.words:
                gone = {"*"}
            elif call.verb in ("stop", "kill", "rm") and call.words:
                gone |= set(call.words)
            elif call.verb in ("up", "start", "restart", "run", "create", "compose", "stack deploy"):
                gone = set() if not call.words else gone - set(call.words) - ({"*"} if call.words else set())
            elif call.verb == "exec" and names and ("*" in gone or names & gone):
                what = next(iter(names))
                yield Fault(
                    step.place,
                    f"{what} was taken down above: there is no container to run in",
                    Fix(f"start {what} again first, and stop only what writes"),
                    subject=f"down-{block.number}",
                )


@rule(
    "OB134",
    "server-tool-as-root",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="pg_ctl or the server itself run by root in a container",
    reason=(
        "exec runs as root in the official images, and PostgreSQL's own tools refuse it: “pg_ctl: cannot be run as "
        "root”."
    ),
    source="https://www.postgresql.org/docs/current/app-pg-ctl.html",
    bad=sh("docker exec db pg_ctl promote"),
    good=sh("docker exec -u postgres db pg_ctl promote"),
)
def server_tool_as_root(context: Context) -> Iterator[Fault]:
    """docker exec and compose exec of pg_ctl, initdb, pg_upgrade, pg_rewind, pg_resetwal or postgres without -u."""
    for step in context.steps:
        carrier = step.outer
        if (
            carrier is not None
            and carrier.call is not None
            and carrier.call.tool in ("docker", "docker compose")
            and carrier.call.verb == "exec"
            and not carrier.call.has("-u", "--user")
            and re.fullmatch(r"pg_ctl|initdb|pg_upgrade|pg_rewind|pg_resetwal|postgres", step.program)
            and "--version" not in step.words
        ):
            yield Fault(step.place, f"{step.program}: cannot be run as root", Fix("exec -u postgres"))


@rule(
    "OB135",
    "container-file-on-host",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="Redis' snapshot copied on the host although Redis runs in a container",
    reason=(
        "dump.rdb lies in the container's file system or volume. /var/lib/redis of the host is another folder, empty "
        "or of another server."
    ),
    source="https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/",
    bad=sh("docker exec redis redis-cli BGSAVE\nsleep 30\ncp /var/lib/redis/dump.rdb /backups/"),
    good=sh("docker exec redis redis-cli BGSAVE\nsleep 30\ndocker cp redis:/data/dump.rdb /backups/"),
)
def container_file_on_host(context: Context) -> Iterator[Fault]:
    """cp of dump.rdb or appendonly of the host where every redis-cli of the manual is in a container."""
    clients = [s for s in context.steps if s.program in ("redis-cli", "valkey-cli")]
    inside = [s for s in clients if s.container is not None]
    mounted = re.search(r"-v\s+/var/lib/redis|/var/lib/redis:/data|/data:/data", "\n".join(context.document.lines))
    if mounted:
        return
    for step in context.steps:
        around = [s for s in step.block.steps if s in inside]
        if (
            step.program not in ("cp", "mv", "rsync", "scp")
            or step.remote
            or not (around or len(inside) == len(clients))
        ):
            continue
        if not inside:
            continue
        named = next(
            (w for w in step.command.argv[1:] if re.match(r"(?:/var/lib/redis|/data)/\S*(?:rdb|aof)", w.text)), None
        )
        if named is not None:
            yield Fault(
                step.at(named),
                f"{named.text} is a file of the container, not of this host",
                Fix("docker cp CONTAINER:/data/dump.rdb …"),
            )


@rule(
    "OB136",
    "wildcard-in-copy",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="docker cp or kubectl cp with a wildcard of the container",
    reason="Neither copy expands wildcards on the other side: it looks for a file whose name holds a star.",
    source="https://docs.docker.com/reference/cli/docker/container/cp/",
    bad=sh("docker cp db:/backups/*.sql ."),
    good=sh("docker cp db:/backups/. ./backups/"),
)
def wildcard_in_copy(context: Context) -> Iterator[Fault]:
    """A star behind NAME: of cp."""
    for step in context.steps:
        if step.call is None or step.call.tool not in _TOOLS or step.call.verb != "cp":
            continue
        for word in step.call.args:
            if re.match(r"[\w./${}-]+:\S*\*", word.text):
                yield Fault(step.at(word), f"{word.text}: cp does not expand the star", Fix("copy the folder"))


@rule(
    "OB137",
    "snapshot-overwritten-at-stop",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A Redis snapshot put in place while the server runs, then a restart",
    reason=(
        "At its stop Redis writes what it holds into dump.rdb, over the file that was just copied: the restart loads "
        "the old data. With appendonly it does not read dump.rdb at all."
    ),
    source="https://redis.io/docs/latest/commands/shutdown/",
    bad=sh("docker cp dump.rdb redis:/data/dump.rdb\ndocker restart redis"),
    good=sh("docker stop redis\ndocker cp dump.rdb redis:/data/dump.rdb\ndocker start redis"),
)
def overwritten_at_stop(context: Context) -> Iterator[Fault]:
    """A copy onto dump.rdb followed by a restart, with no stop, down or scale to 0 ahead in the block."""
    for block in context.scripts:
        for step in block.top:
            call = step.call
            target = step.words[-1] if step.words else ""
            copies = step.program in ("cp", "mv") or (call is not None and call.verb == "cp" and call.tool in _TOOLS)
            if not copies or not re.search(r"(?:/data|/var/lib/redis)/(?:dump\.rdb)?$", target):
                continue
            if not re.search(r"rdb", step.command.text):
                continue
            ahead = " ".join(s.command.text for s in block.before(step))
            behind = " ".join(s.command.text for s in block.after(step) if s.outer is None)
            states = re.findall(r"\b(?:stop|down|shutdown|kill|up|start)\b|replicas=\d|nosave", ahead, re.I)
            stopped = bool(states) and not re.match(r"up|start|replicas=[1-9]", states[-1], re.I)
            if not stopped and re.search(r"\brestart\b|delete pod", behind):
                yield Fault(
                    step.place,
                    "the running Redis writes its own dump.rdb over this file when it is restarted",
                    Fix("stop it, copy, start it"),
                )


@rule(
    "OB138",
    "save-blocks",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="SAVE or MONITOR on a running Redis",
    reason=(
        "SAVE writes the whole data set in Redis' one thread: every client waits until it is done. One MONITOR "
        "client can halve the throughput, and prints what others send, passwords among it."
    ),
    source="https://redis.io/docs/latest/commands/save/",
    bad=sh("docker exec redis redis-cli SAVE"),
    good=sh("docker exec redis redis-cli BGSAVE\ndocker exec redis redis-cli LASTSAVE"),
)
def save_blocks(context: Context) -> Iterator[Fault]:
    """SAVE; MONITOR; DEBUG SLEEP."""
    harm = {
        "SAVE": "SAVE stops every client until the whole data set is written",
        "MONITOR": "MONITOR slows the server down and prints every client's data",
    }
    for step in context.steps:
        if step.program in ("redis-cli", "valkey-cli"):
            words = redis_words(step)
            told = harm.get(words[0].upper()) if len(words) == 1 else None
            if told and not re.search(r"\bstop(?:ped)? (?:the )?(?:app|api|writ)", step.comment, re.I):
                yield Fault(step.place, told, Fix("BGSAVE, and wait for LASTSAVE" if "SAVE" in told else "SLOWLOG GET"))
