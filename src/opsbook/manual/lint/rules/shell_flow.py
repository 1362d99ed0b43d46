"""Shell blocks as they run: failed dumps, borders between host and container, checks that cannot fail."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import ShellBlock, Step
from opsbook.manual.lint.facts.writing import local_files, pattern_of
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule

DUMPS = frozenset({"pg_dump", "pg_dumpall", "mysqldump", "mariadb-dump", "mongodump", "pg_basebackup"})
_VERIFIES = re.compile(r"pg_restore\s+(?:--list|-l)\b|gzip -t|gunzip -t|zstd -t|--verify|sha256sum|md5sum|PIPESTATUS|\$\?|test -s|\[\[? -s|restore.{0,20}test|verifybackup|tar -t")


def _dump(step: Step) -> Step | None:
    """The dump that a step of the block itself runs, also inside a container."""
    for inner in step.block.steps:
        if inner.program in DUMPS and inner.outermost.index == step.index:
            return inner
    return None


@rule(
    "OB110", "dump-in-pipe", FaultClass.UNSAFE, Severity.WARNING,
    summary="A dump in a pipe whose failure nobody sees",
    reason="The status of a pipeline is that of its last command. When pg_dump fails, gzip still writes a valid, empty archive, and it is uploaded as the backup.",
    source="https://www.gnu.org/software/bash/manual/html_node/Pipelines.html",
    bad=sh("pg_dump -U app shop | gzip > shop.sql.gz\naws s3 cp shop.sql.gz s3://backups/"),
    good=sh("set -euo pipefail\npg_dump -U app shop | gzip > shop.sql.gz\naws s3 cp shop.sql.gz s3://backups/"),
)  # fmt: skip
def dump_in_pipe(context: Context) -> Iterator[Fault]:
    """Dumps that are not last in their pipeline, in blocks without pipefail or a check."""
    for block in context.scripts:
        for step in block.top:
            dump = _dump(step)
            if dump is None or step.command.position >= step.command.length - 1 or step.command.length < 2:
                continue
            if block.pipefail or _VERIFIES.search(block.text):
                continue
            into = block.pipeline(step)[-1]
            if into.program in ("psql", "mysql", "kubectl", "docker", "docker-compose", "ssh", "pg_restore", "grep", "head", "wc", "less"):
                continue
            yield Fault(dump.place, f"when {dump.program} fails, {into.program} still writes an archive that looks like a backup",
                        Fix("set -o pipefail"), subject=f"pipe-{block.number}")  # fmt: skip


@rule(
    "OB111", "dump-unchecked", FaultClass.UNSAFE, Severity.WARNING,
    summary="A dump whose failure does not stop what follows",
    reason="The redirection makes the file before pg_dump runs. If it fails, the empty file is compressed, uploaded and counted as a backup, and old backups are deleted "
           "in its favour.",
    source="https://www.postgresql.org/docs/current/backup-dump.html",
    bad=sh("pg_dump shop > shop.sql\ngzip shop.sql\naws s3 cp shop.sql.gz s3://backups/"),
    good=sh("set -e\npg_dump shop > shop.sql\ngzip shop.sql\naws s3 cp shop.sql.gz s3://backups/"),
)  # fmt: skip
def dump_unchecked(context: Context) -> Iterator[Fault]:
    """A dump into a file followed by steps that compress, upload or delete, with no set -e and no check."""
    for block in context.scripts:
        if block.strict or _VERIFIES.search(block.text) or re.search(r"\|\|\s*(?:exit|return|\{)|\bif\b.*(?:pg_dump|mysqldump)", block.text):
            continue
        for step in block.top:
            dump = _dump(step)
            if dump is None or step.command.length > 1 or step.command.after in ("&&", "||") or step.command.within:
                continue
            followed = [s for s in block.after(step) if s.outer is None and re.match(r"(?:gzip|xz|zstd|aws|gsutil|rclone|az|rm|find|tar|gpg)$", s.program)]
            if followed and any(s.command.redirects for s in (step, dump)):
                yield Fault(dump.place, f"if {dump.program} fails, an empty file goes on to {followed[0].program} as the backup", Fix("set -e"), subject=f"dump-{block.number}")


@rule(
    "OB112", "removed-though-upload-failed", FaultClass.UNSAFE, Severity.WARNING,
    summary="The local copy is deleted whether or not the upload worked",
    reason="Without set -e or &&, rm runs after a failed upload too: then there is no copy at all.",
    source="https://www.gnu.org/software/bash/manual/html_node/The-Set-Builtin.html",
    bad=sh("tar -czf data.tar.gz data\naws s3 cp data.tar.gz s3://backups/\nrm -rf data.tar.gz"),
    good=sh("tar -czf data.tar.gz data\naws s3 cp data.tar.gz s3://backups/ && rm data.tar.gz"),
)  # fmt: skip
def removed_though_failed(context: Context) -> Iterator[Fault]:
    """rm of what an upload ahead of it sent, not joined by && and not under set -e."""
    for block in context.scripts:
        if block.strict:
            continue
        sent: list[str] = []
        for step in block.top:
            call = step.call
            if step.program in ("aws", "gsutil", "rclone", "scp", "rsync", "az") and step.command.after != "&&":
                sent += [word.text.strip('"') for word in (call.args if call else step.command.argv[1:]) if not word.text.startswith(("s3:", "gs:", "-"))]
            elif step.program == "rm" and step.command.before != "&&" and not step.command.within:
                gone = [word for word in step.command.argv[1:] if word.text.strip('"') in sent]
                if gone:
                    yield Fault(step.place, f"{gone[0].text} is deleted even if its upload failed", Fix("join them by &&, or set -e"))


@rule(
    "OB113", "pipe-leaves-container", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="A pipe that leaves the container and goes on against this host",
    reason="The pipe belongs to the shell outside. What stands behind it runs on the operator's machine: redis-cli there talks to localhost, not to the server in the pod.",
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_exec/",
    bad=sh("kubectl exec deploy/redis -n shop -- redis-cli --scan --pattern 'cache:*' | xargs redis-cli DEL"),
    good=sh("kubectl exec deploy/redis -n shop -- sh -c \"redis-cli --scan --pattern 'cache:*' | xargs -r redis-cli DEL\""),
)  # fmt: skip
def pipe_leaves(context: Context) -> Iterator[Fault]:
    """The same client inside a container and, behind the pipe, outside of one."""
    clients = ("redis-cli", "psql", "mysql", "mongosh", "rabbitmqctl", "celery")
    for step in context.steps:
        if step.program not in clients or step.container is None or step.container.outer is not None:
            continue
        for later in step.block.steps:
            same = later.outermost.command.pipeline == step.outermost.command.pipeline and later.outermost.index > step.outermost.index
            if same and later.program == step.program and later.container is None and not (later.call and later.call.has("-h", "--host", "-u")):
                yield Fault(later.place if later.command.line else step.place, f"{later.program} behind the pipe runs on this host, not in the container",
                            Fix("put the whole pipeline into sh -c '…' inside the container"))  # fmt: skip


@rule(
    "OB114", "file-across-exec", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="A file written on this host and read inside a container",
    reason="A redirection behind kubectl exec writes on the operator's machine; a program inside the pod looks for the name in the pod's own file system and does not find it.",
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_exec/",
    bad=sh("kubectl exec db-0 -- pg_dump -Fc shop > /backups/shop.dump\nkubectl exec db-0 -- pg_restore -l /backups/shop.dump"),
    good=sh("kubectl exec db-0 -- pg_dump -Fc shop > /backups/shop.dump\nkubectl exec -i db-0 -- pg_restore -l < /backups/shop.dump"),
)  # fmt: skip
def file_across_exec(context: Context) -> Iterator[Fault]:
    """Arguments of programs in containers that name a file, or a folder, that only local steps wrote."""
    written: dict[str, int] = {}
    folders: dict[str, int] = {}
    inside: set[str] = set()
    for step in context.steps:
        for name in local_files(step):
            written.setdefault(pattern_of(name), step.command.line)
            if "/" in name.rstrip("/") and re.match(r"/\w", name):
                folders.setdefault(posixpath.dirname(name), step.command.line)
        if step.remote:
            inside.update(re.findall(r"(?:-f|--file|>|-o|-C|--output)[ =]*(/[\w./$(){}%+*-]+)", step.command.text))
        if step.program in ("kubectl", "docker") and step.call and step.call.verb == "cp" and len(step.call.words) > 1 and ":" in step.call.words[1]:
            inside.add(step.call.words[1].split(":", 1)[1])
    for step in context.steps:
        if step.container is None or step.program not in ("pg_restore", "psql", "mysql", "mongorestore", "redis-cli", "gunzip", "zcat", "tar"):
            continue
        for word in step.command.argv[1:]:
            name = word.text
            if not re.match(r"/?[\w.$-]+/|[\w-]+\.(?:dump|sql|gz)", name) or not re.search(r"\.(?:dump|sql|gz|tar|bak|rdb|archive)\b", name):
                continue
            pattern, folder = pattern_of(name), posixpath.dirname(name)
            if any(pattern_of(i) == pattern or (i.rstrip("/") == folder) or posixpath.dirname(i) == folder for i in inside):
                continue
            line = written.get(pattern) or folders.get(folder)
            if line and _taken(step, word.text):
                yield Fault(step.at(word), f"{name} was written on this host (line {line}); inside the container there is no such file",
                            Fix(f"feed it: … -i … {step.program} < {name}"))  # fmt: skip


def _taken(step: Step, name: str) -> bool:
    """Whether a word is an input file, not an output."""
    words = step.words
    at = words.index(name) if name in words else -1
    return not (step.program == "tar" and at > 0 and "c" in words[at - 1])


@rule(
    "OB115", "container-stderr", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="docker logs piped without 2>&1",
    reason="docker logs keeps the two streams apart. Servers that log to stderr (PgBouncer, PostgreSQL, nginx errors, most Python programs) give grep nothing to read; their lines pass by on "
           "the terminal.",
    source="https://docs.docker.com/reference/cli/docker/container/logs/",
    bad=sh("docker logs pgbouncer | grep -i pool"),
    good=sh("docker logs pgbouncer 2>&1 | grep -i pool"),
)  # fmt: skip
def container_stderr(context: Context) -> Iterator[Fault]:
    """docker logs of a known stderr logger into a filter; for others a hint."""
    for step in context.calls("docker", "logs"):
        if step.command.length < 2 or step.command.position == step.command.length - 1:
            continue
        joined = any(r.operator in ("&>", ">&", "2>&", "|&") or (r.descriptor == 2 and r.target.text.lstrip("&") == "1") for r in step.command.redirects)
        if joined or "2>&1" in step.command.text or step.command.after == "|&":
            continue
        name = step.call.words[0] if step.call and step.call.words else ""
        sure = re.search(r"pgbouncer|postgres|pgsql|(?:^|[-_])db(?:$|[-_])|nginx|celery|worker|gunicorn|uvicorn|django|flask|api|backend|haproxy|traefik|mysql|maria", name)
        if sure:
            yield Fault(step.place, f"what {name} logs to stderr does not reach the pipe", Fix("docker logs NAME 2>&1 | …"), subject=f"stderr-{name}",
                        severity=None if re.search(r"pgbouncer|postgres|nginx|mysql|maria|haproxy", name) else Severity.HINT)  # fmt: skip


@rule(
    "OB116", "path-after-cd", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="Relative paths of the repository after cd into one of its folders",
    reason="The block changes into a folder and then names paths as they are from above it; they do not exist there.",
    source="the manual itself",
    bad=sh("cd terraform\nterraform apply plan.out\nkubectl apply -f kubernetes/\n./scripts/restore.sh"),
    good=sh("(cd terraform && terraform apply plan.out)\nkubectl apply -f kubernetes/\n./scripts/restore.sh"),
)  # fmt: skip
def path_after_cd(context: Context) -> Iterator[Fault]:
    """cd NAME, and later in the block ./scripts/… or another top folder that the manual uses elsewhere without cd."""
    roots = _folders_used_from_root(context)
    for block in context.scripts:
        inside = ""
        for step in block.top:
            words = step.words
            if step.program == "cd" and len(words) > 1 and not step.command.within:
                target = words[1].rstrip("/")
                inside = target if re.fullmatch(r"(?:\./)?[\w.-]+(?:/[\w.-]+)*", target) and target not in (".", "..") else ""
                continue
            if not inside or step.command.within:
                continue
            for word in step.command.argv:
                found = re.match(r"(?:\./)?([\w-]+)/[\w./-]*$", word.text)
                if found and "/" in inside and found[1] == inside.split("/")[0] and step.program in ("git", "kubectl", "helm", "cat", "docker", "kustomize", "terraform", "vim", "nano"):
                    yield Fault(step.at(word), f"after cd {inside}, {word.text} is looked for inside it", Fix("cd back first"))
                    continue
                if found and found[1] != inside and word.text.rstrip("/").count("/") >= 0 and _is_folder(step, word.text) and (found[1] in roots or found[1] in ("scripts", "kubernetes", "k8s", "terraform", "deploy", "deployment")):
                    yield Fault(step.at(word), f"after cd {inside}, {word.text} is looked for inside {inside}/", Fix(f"cd back, or (cd {inside} && …)"))


def _folders_used_from_root(context: Context) -> set[str]:
    found: set[str] = set()
    for block in context.scripts:
        if any(step.program in ("cd", "pushd") for step in block.top):
            continue
        for step in block.top:
            found.update(re.findall(r"(?:^|\s)\./([\w-]+)/", step.command.text))
    return found


def _is_folder(step: Step, text: str) -> bool:
    """Whether a word is a path for this program: a script that is run, a file for -f."""
    return text.startswith("./") or (step.program in ("kubectl", "helm", "docker", "ansible-playbook", "bash", "sh") and "/" in text and not re.match(r"(?:deployment|deploy|pod|svc|service|statefulset|sts|job|cronjob|configmap|secret|node)s?/", text))


@rule(
    "OB117", "check-cannot-fail", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="The check after a change passes whatever the server answers",
    reason="curl without -f ends with 0 on HTTP 500 and 401 alike. As the step that tells whether a restore, a deployment or a rollback worked, it always says yes.",
    source="https://curl.se/docs/manpage.html#-f",
    bad=sh("kubectl rollout undo deployment/api -n shop\n# Verify\ncurl https://api.shop.com/health"),
    good=sh("kubectl rollout undo deployment/api -n shop\n# Verify\ncurl -fsS https://api.shop.com/health"),
)  # fmt: skip
def check_cannot_fail(context: Context) -> Iterator[Fault]:
    """curl of an application behind a change in the same block, without -f or a look at the answer."""
    for block in context.scripts:
        changed: Step | None = None
        for step in block.steps:
            decides = step.command.after == "||" or any(e.kind in ("condition", "if-condition", "while-condition") for e in step.command.within)
            if step.program == "curl" and decides and _blind(step, deciding=True) and step.command.length == 1:
                yield Fault(step.place, "decides by curl's exit status, which is 0 on HTTP 500 and 404 too", Fix("curl -fsS"), subject=f"decides-{block.number}")
                continue
            if _changes(step):
                changed = step
            elif step.program == "curl" and changed is not None and _blind(step):
                yield Fault(step.place, f"passes on HTTP 500 too: nothing tells whether {changed.program} {changed.call.verb if changed.call else ''}".rstrip() + " worked",
                            Fix("curl -fsS"), subject=f"blind-{block.number}")  # fmt: skip


def _changes(step: Step) -> bool:
    call = step.call
    if step.program in ("pg_restore", "mongorestore"):
        return True
    if call is None or call.has("--dry-run"):
        return False
    return (call.tool, call.verb) in {("kubectl", v) for v in ("set image", "rollout undo", "rollout restart", "apply", "patch")} | {
        ("docker compose", "up"), ("docker compose", "restart"), ("helm", "upgrade"), ("helm", "rollback"), ("terraform", "apply"),
        ("systemctl", "restart"), ("systemctl", "start")}  # fmt: skip


def _blind(step: Step, *, deciding: bool = False) -> bool:
    """A GET whose answer nothing looks at: no -f, no status code, no grep, not in a condition or a loop."""
    call = step.call
    if call is None or call.has("-f", "--fail", "--fail-with-body", "-w", "--write-out", "-I", "--head", "-X", "--request", "-d", "--data", "-o", "-v", "-i", "--include"):
        return False
    if not deciding and (step.command.within or step.command.negated or step.command.after in ("&&", "||") or step.command.redirects):
        return False
    later = [s.program for s in step.block.pipeline(step)[step.command.position + 1 :]]
    text = step.command.text
    return all(program in ("jq",) for program in later) and bool(re.search(r"https?://|localhost", text)) and not re.search(r"jq\s+(?:-\w*e|--exit-status)|:9090|prometheus|/metrics", text + " ".join(s.command.text for s in step.block.pipeline(step)))


@rule(
    "OB118", "curl-exit-status", FaultClass.UNSAFE, Severity.HINT,
    summary="A health check by curl without -f",
    reason="It shows a person the answer, but as an automatic check it never fails: HTTP 500 ends with exit status 0.",
    source="https://curl.se/docs/manpage.html#-f",
    bad="## Health checks\n\n" + sh("curl https://api.shop.com/health"),
    good="## Health checks\n\n" + sh("curl -fsS https://api.shop.com/health"),
)  # fmt: skip
def curl_exit_status(context: Context) -> Iterator[Fault]:
    """curl of a health address; told once."""
    for block in context.scripts:
        changed = False
        for step in block.steps:
            changed = changed or _changes(step)
            if step.program == "curl" and not changed and _blind(step) and re.search(r"/(?:health|healthz|ready|readyz|live|livez|ping|status)\b", step.command.text):
                yield Fault(step.place, "curl ends with 0 on HTTP 500", Fix("curl -fsS"), subject="health")


@rule(
    "OB119", "prompt-in-script", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="A terminal asked for where there is none",
    reason="In a script run by cron or a pipeline, -t fails: the input device is not a TTY. An interactive program without -it ends at once.",
    source="https://docs.docker.com/reference/cli/docker/container/exec/",
    bad=sh("#!/bin/bash\n# nightly, by cron\ndocker exec -it db pg_dump -U app shop > shop.sql"),
    good=sh("#!/bin/bash\n# nightly, by cron\ndocker exec db pg_dump -U app shop > shop.sql"),
)  # fmt: skip
def prompt_in_script(context: Context) -> Iterator[Fault]:
    """-t with output redirected or piped in; a shell in a container without -it."""
    for step in context.steps:
        call = step.call
        if call is None or call.verb != "exec" or call.tool not in ("kubectl", "docker"):
            continue
        tty = call.has("-t", "--tty")
        piped_in = step.command.position > 0 or any(r.operator in ("<", "<<", "<<<") for r in step.command.redirects) or step.command.heredoc is not None
        if tty and piped_in:
            yield Fault(step.place, "-t fails where the input is a file or a pipe: the input device is not a TTY", Fix("-i without -t"))
        elif tty and step.block.text.startswith("#!") and re.search(r"cron|nightly|schedul|automat", context.section_text(step.block.section_path)):
            yield Fault(step.place, "-t fails under cron: the input device is not a TTY", Fix("leave out -t"))
        inner = next((s for s in step.block.steps if s.outer is step), None)
        dump = next((s for s in step.block.steps if s.outer is step and s.program in (*DUMPS, "tar", "cat")), None)
        if tty and dump is not None and step.command.length == 1 and any(r.operator in (">", ">>") for r in step.command.redirects) and not piped_in:
            yield Fault(step.place, f"-t writes \\r\\n for every line end: what {dump.program} writes into the file is broken", Fix("leave out -t"))
        bare_shell = inner is not None and inner.program in ("bash", "sh", "zsh", "ash") and len(inner.words) == 1
        if bare_shell and not call.has("-i", "--stdin", "--interactive") and not piped_in:
            yield Fault(step.place, "a shell without -it ends at once", Fix("add -it"))


@rule(
    "OB120", "second-process", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="A profiler that starts a second process instead of looking at the running one",
    reason="cProfile, memory_profiler and tracemalloc measure the program that they start. What runs slowly or leaks is another process; py-spy, memray attach or pprof look at that "
           "one.",
    source="https://github.com/benfred/py-spy",
    bad="## Slow requests\n\n" + sh("kubectl exec deploy/api -n shop -- python -m cProfile -o out.prof app/main.py"),
    good="## Slow requests\n\n" + sh("kubectl exec deploy/api -n shop -- py-spy record --pid 1 -o out.svg --duration 30"),
)  # fmt: skip
def second_process(context: Context) -> Iterator[Fault]:
    """python -m cProfile|memory_profiler|tracemalloc …, and python -c that only starts tracemalloc."""
    for step in context.steps:
        words = step.words
        if step.program in ("python", "python3") and len(words) > 2 and words[1] == "-m" and words[2] in ("cProfile", "profile", "memory_profiler", "kernprof", "scalene", "pyinstrument"):
            if step.container is not None:
                yield Fault(step.place, f"{words[2]} measures a second process that it starts, not the running service", Fix("py-spy record --pid 1"))
        for piece in step.command.embedded:
            if piece.language == "python" and re.search(r"tracemalloc\.start\(\)", piece.text) and not re.search(r"take_snapshot|get_traced_memory", piece.text):
                yield Fault(step.place, "starts a fresh interpreter and traces nothing of the running service", Fix("py-spy dump --pid PID, or memray attach PID"))


@rule(
    "OB121", "second-server", FaultClass.UNSAFE, Severity.WARNING,
    summary="valgrind or gdb starts a second server on the production host",
    reason="A second copy of the server competes for its ports, locks and jobs, many times slower; it says nothing about the process that leaks, and memcheck does not understand the runtimes of Go, "
           "Java or Node.",
    source="https://valgrind.org/docs/manual/mc-manual.html",
    bad="## Memory leaks\n\n" + sh("valgrind --leak-check=full ./api-server"),
    good="## Memory leaks\n\n" + sh("curl -fsS http://localhost:6060/debug/pprof/heap -o heap.prof"),
)  # fmt: skip
def second_server(context: Context) -> Iterator[Fault]:
    """valgrind with a server binary."""
    for step in context.steps:
        if step.program == "valgrind" and re.search(r"server|api|app|service|daemon|worker", step.words[-1]):
            yield Fault(step.place, "starts a second server under valgrind and says nothing of the running one", Fix("use the runtime's own profiler on the process"))


@rule(
    "OB122", "check-of-nothing", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="A check that prints OK without checking",
    reason="Importing a module or an SQLAlchemy engine opens no connection. The line that says OK is printed whether or not the database answers.",
    source="https://docs.sqlalchemy.org/en/20/core/engines.html#lazy-connecting",
    bad=sh("kubectl exec deploy/api -n shop -- python -c \"from app.db import engine; print('OK')\""),
    good=sh("kubectl exec deploy/api -n shop -- python -c \"from app.db import engine; engine.connect().close(); print('OK')\""),
)  # fmt: skip
def check_of_nothing(context: Context) -> Iterator[Fault]:
    """python -c of imports and a constant print, where what is imported is an engine, client or session."""
    for step in context.steps:
        for piece in step.command.embedded:
            if piece.language != "python":
                continue
            parts = [part.strip() for part in re.split(r"[;\n]", piece.text) if part.strip()]
            imports = [part for part in parts if re.match(r"(?:import|from)\b", part)]
            prints = [part for part in parts if re.fullmatch(r"print\(\s*f?(['\"])[^'\"{]*\1\s*\)", part)]
            lazy = re.search(r"import\s+.*\b(?:engine|session|SessionLocal|client|redis|db|database|pool)\b", " ".join(imports))
            said = f"{step.comment} {step.outermost.comment}"
            code = [part for part in parts if not part.startswith("#")]
            if code and all(part in prints for part in code) and re.search(r"test|check|verif|status|health", said, re.I):
                yield Fault(step.place, "prints a constant text: nothing is checked", Fix("write the check, or leave the step out"))
            elif prints and lazy and len(imports) + len(prints) == len(parts):
                yield Fault(step.place, "imports only: no connection is opened, it says OK with the server down", Fix("open a connection: engine.connect()"))


@rule(
    "OB123", "filter-cannot-match", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="A filter for words that the command never prints",
    reason="pip list --outdated prints names and versions. Whether an update is for security it does not say, so grep finds nothing and the check passes.",
    source="https://pip.pypa.io/en/stable/cli/pip_list/",
    bad=sh("pip list --outdated | grep -i security"),
    good=sh("pip-audit"),
)  # fmt: skip
def filter_cannot_match(context: Context) -> Iterator[Fault]:
    """pip list or npm outdated piped into grep security."""
    for step in context.steps:
        if re.match(r"(?:pip3?|npm|yarn)\s+(?:list|outdated)", step.command.text) or (step.call and step.call.tool in ("pip", "npm") and step.call.verb in ("list", "outdated")):
            later = [s for s in step.block.pipeline(step) if s.index > step.index and s.program == "grep"]
            if later and any(re.fullmatch(r"[\^\"']?(?:security|vulnerab\w*|cves?)[\"'$]?", word, re.I) for word in later[0].words[1:]):
                yield Fault(step.place, f"{step.program} prints names and versions only; grep never matches", Fix("pip-audit or npm audit"))
