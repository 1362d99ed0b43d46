"""Checks that pass whatever happens, and measurements of something else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB117",
    "check-cannot-fail",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="The check after a change passes whatever the server answers",
    reason=(
        "curl without -f ends with 0 on HTTP 500 and 401 alike. As the step that tells "
        "whether a restore, a deployment or a rollback worked, it always says yes."
    ),
    source="https://curl.se/docs/manpage.html#-f",
    bad=sh("kubectl rollout undo deployment/api -n shop\n# Verify\ncurl https://api.shop.com/health"),
    good=sh("kubectl rollout undo deployment/api -n shop\n# Verify\ncurl -fsS https://api.shop.com/health"),
)
def check_cannot_fail(context: Context) -> Iterator[Fault]:
    """curl of an application behind a change in the same block, without -f or a look at the answer."""
    for block in context.scripts:
        changed: Step | None = None
        for step in block.steps:
            decides = (
                step.command.after == "||"
                or _praised(step, block.steps)
                or any(e.kind in ("condition", "if-condition", "while-condition") for e in step.command.within)
            )
            if step.program == "curl" and decides and _blind(step, deciding=True) and step.command.length == 1:
                yield Fault(
                    step.place,
                    "decides by curl's exit status, which is 0 on HTTP 500 and 404 too",
                    Fix("curl -fsS"),
                    subject=f"decides-{block.number}",
                )
                continue
            if _changes(step):
                changed = step
            elif step.program == "curl" and changed is not None and _blind(step):
                yield Fault(
                    step.place,
                    (
                        f"passes on HTTP 500 too: nothing tells whether {changed.program} "
                        f"{changed.call.verb if changed.call else ''}"
                    ).rstrip()
                    + " worked",
                    Fix("curl -fsS"),
                    subject=f"blind-{block.number}",
                )


def _praised(step: Step, steps: tuple[Step, ...]) -> bool:
    """Whether the next command, run when this one ends with 0, prints that all is well."""
    following = next((s for s in steps[step.index + 1 :] if s.outer is None), None)
    return step.command.after == "&&" and following is not None and following.program in ("echo", "printf")


def _changes(step: Step) -> bool:
    call = step.call
    if step.program in ("pg_restore", "mongorestore"):
        return True
    if call is None or call.has("--dry-run"):
        return False
    return (call.tool, call.verb) in {
        ("kubectl", v) for v in ("set image", "rollout undo", "rollout restart", "apply", "patch")
    } | {
        ("docker compose", "up"),
        ("docker compose", "restart"),
        ("helm", "upgrade"),
        ("helm", "rollback"),
        ("terraform", "apply"),
        ("systemctl", "restart"),
        ("systemctl", "start"),
    }


def _blind(step: Step, *, deciding: bool = False) -> bool:
    """A GET whose answer nothing looks at: no -f, no status code, no grep, not in a condition or a loop."""
    call = step.call
    if call is None or call.has(
        "-f",
        "--fail",
        "--fail-with-body",
        "-w",
        "--write-out",
        "-I",
        "--head",
        "-X",
        "--request",
        "-d",
        "--data",
        "-o",
        "-v",
        "-i",
        "--include",
    ):
        return False
    if not deciding and (
        step.command.within or step.command.negated or step.command.after in ("&&", "||") or step.command.redirects
    ):
        return False
    later = [s.program for s in step.block.pipeline(step)[step.command.position + 1 :]]
    text = step.command.text
    return (
        all(program in ("jq",) for program in later)
        and bool(re.search(r"https?://|localhost", text))
        and not re.search(
            r"jq\s+(?:-\w*e|--exit-status)|:9090|prometheus|/metrics",
            text + " ".join(s.command.text for s in step.block.pipeline(step)),
        )
    )


@rule(
    "OB118",
    "curl-exit-status",
    FaultClass.UNSAFE,
    Severity.HINT,
    summary="A health check by curl without -f",
    reason=(
        "It shows a person the answer, but as an automatic check it never fails: HTTP 500 ends with exit status 0."
    ),
    source="https://curl.se/docs/manpage.html#-f",
    bad=("## Health checks\n\n") + sh("curl https://api.shop.com/health"),
    good=("## Health checks\n\n") + sh("curl -fsS https://api.shop.com/health"),
)
def curl_exit_status(context: Context) -> Iterator[Fault]:
    """curl of a health address; told once."""
    for block in context.scripts:
        changed = False
        for step in block.steps:
            changed = changed or _changes(step)
            if (
                step.program == "curl"
                and not changed
                and _blind(step)
                and re.search(r"/(?:health|healthz|ready|readyz|live|livez|ping|status)\b", step.command.text)
            ):
                yield Fault(step.place, "curl ends with 0 on HTTP 500", Fix("curl -fsS"), subject="health")


@rule(
    "OB129",
    "request-not-judged",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A check in Python that prints success for any answer",
    reason=(
        "requests raises for a broken connection only; 401 and 500 are answers like any other. Without "
        "raise_for_status() or a look at the status the check says yes to both."
    ),
    source="https://requests.readthedocs.io/en/latest/user/quickstart/#response-status-codes",
    bad=sh("python -c \"import requests\nr = requests.get('http://localhost:80/health')\nprint('healthy')\""),
    good=sh(
        "python -c \"import requests\nrequests.get('http://localhost:80/health').raise_for_status()\nprint('healthy')\""
    ),
)
def request_not_judged(context: Context) -> Iterator[Fault]:
    """requests.get in a python -c or here-document with a print and nothing that looks at the answer."""
    for step in context.steps:
        for piece in step.command.embedded:
            asked = re.search(r"\brequests\.(?:get|post|head)\(", piece.text) if piece.language == "python" else None
            if (
                asked
                and "print" in piece.text
                and not re.search(r"raise_for_status|status_code|\.ok\b|\.json\(|\.text\b", piece.text)
            ):
                line, _ = piece.at(asked.start())
                yield Fault(context.place(line, "requests."), "says yes to 401 and 500 too", Fix(".raise_for_status()"))


@rule(
    "OB120",
    "second-process",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A profiler that starts a second process instead of looking at the running one",
    reason=(
        "cProfile, memory_profiler and tracemalloc measure the program that they start. What "
        "runs slowly or leaks is another process; py-spy, memray attach or pprof look at "
        "that one."
    ),
    source="https://github.com/benfred/py-spy",
    bad=("## Slow requests\n\n") + sh("kubectl exec deploy/api -n shop -- python -m cProfile -o out.prof app/main.py"),
    good=("## Slow requests\n\n")
    + sh("kubectl exec deploy/api -n shop -- py-spy record --pid 1 -o out.svg --duration 30"),
)
def second_process(context: Context) -> Iterator[Fault]:
    """python -m cProfile|memory_profiler|tracemalloc …, and python -c that only starts tracemalloc."""
    for step in context.steps:
        words = step.words
        if (
            step.program in ("python", "python3")
            and len(words) > 2
            and words[1] == "-m"
            and words[2] in ("cProfile", "profile", "memory_profiler", "kernprof", "scalene", "pyinstrument")
        ) and step.container is not None:
            yield Fault(
                step.place,
                f"{words[2]} measures a second process that it starts, not the running service",
                Fix("py-spy record --pid 1"),
            )
        for piece in step.command.embedded:
            if (
                piece.language == "python"
                and re.search(r"tracemalloc\.start\(\)", piece.text)
                and not re.search(r"take_snapshot|get_traced_memory", piece.text)
            ):
                yield Fault(
                    step.place,
                    "starts a fresh interpreter and traces nothing of the running service",
                    Fix("py-spy dump --pid PID, or memray attach PID"),
                )


@rule(
    "OB121",
    "second-server",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="valgrind or gdb starts a second server on the production host",
    reason=(
        "A second copy of the server competes for its ports, locks and jobs, many times "
        "slower; it says nothing about the process that leaks, and memcheck does not "
        "understand the runtimes of Go, Java or Node."
    ),
    source="https://valgrind.org/docs/manual/mc-manual.html",
    bad=("## Memory leaks\n\n") + sh("valgrind --leak-check=full ./api-server"),
    good=("## Memory leaks\n\n") + sh("curl -fsS http://localhost:6060/debug/pprof/heap -o heap.prof"),
)
def second_server(context: Context) -> Iterator[Fault]:
    """valgrind with a server binary."""
    for step in context.steps:
        if step.program == "valgrind" and (
            re.search(r"server|api|app|service|daemon|worker|main", step.words[-1])
            or re.search(r"\b(?:python3?|node|java|gunicorn|uvicorn)\b", step.command.text)
        ):
            yield Fault(
                step.place,
                "starts a second server under valgrind and says nothing of the running one",
                Fix("use the runtime's own profiler on the process"),
            )


@rule(
    "OB122",
    "check-of-nothing",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A check that prints OK without checking",
    reason=(
        "Importing a module or an SQLAlchemy engine opens no connection. The line that says "
        "OK is printed whether or not the database answers."
    ),
    source="https://docs.sqlalchemy.org/en/20/core/engines.html#lazy-connecting",
    bad=sh("kubectl exec deploy/api -n shop -- python -c \"from app.db import engine; print('OK')\""),
    good=sh(
        'kubectl exec deploy/api -n shop -- python -c "from app.db import engine; '
        "engine.connect().close(); print('OK')\""
    ),
)
def check_of_nothing(context: Context) -> Iterator[Fault]:
    """python -c of imports and a constant print, where what is imported is an engine, client or session."""
    for step in context.steps:
        for piece in step.command.embedded:
            if piece.language != "python":
                continue
            parts = [part.strip() for part in re.split(r"[;\n]", piece.text) if part.strip()]
            imports = [part for part in parts if re.match(r"(?:import|from)\b", part)]
            prints = [part for part in parts if re.fullmatch(r"print\(\s*f?(['\"])[^'\"{]*\1\s*\)", part)]
            lazy = re.search(
                r"import\s+.*\b(?:engine|session|SessionLocal|client|redis|db|database|pool)\b", " ".join(imports)
            )
            said = f"{step.comment} {step.outermost.comment}"
            code = [part for part in parts if not part.startswith("#")]
            if (
                code
                and all(part in prints for part in code)
                and re.search(r"test|check|verif|status|health", said, re.I)
            ):
                yield Fault(
                    step.place,
                    "prints a constant text: nothing is checked",
                    Fix("write the check, or leave the step out"),
                )
            elif prints and lazy and len(imports) + len(prints) == len(parts):
                yield Fault(
                    step.place,
                    "imports only: no connection is opened, it says OK with the server down",
                    Fix("open a connection: engine.connect()"),
                )


@rule(
    "OB123",
    "filter-cannot-match",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A filter for words that the command never prints",
    reason=(
        "pip list --outdated prints names and versions. Whether an update is for security it "
        "does not say, so grep finds nothing and the check passes."
    ),
    source="https://pip.pypa.io/en/stable/cli/pip_list/",
    bad=sh("pip list --outdated | grep -i security"),
    good=sh("pip-audit"),
)
def filter_cannot_match(context: Context) -> Iterator[Fault]:
    """pip list or npm outdated piped into grep security."""
    for step in context.steps:
        if re.match(r"(?:pip3?|npm|yarn)\s+(?:list|outdated)", step.command.text) or (
            step.call and step.call.tool in ("pip", "npm") and step.call.verb in ("list", "outdated")
        ):
            later = [s for s in step.block.pipeline(step) if s.index > step.index and s.program == "grep"]
            if later and any(
                re.fullmatch(r"[\^\"']?(?:security|vulnerab\w*|cves?)[\"'$]?", word, re.I)
                for word in later[0].words[1:]
            ):
                yield Fault(
                    step.place,
                    f"{step.program} prints names and versions only; grep never matches",
                    Fix("pip-audit or npm audit"),
                )
