"""Whatever a value is, it arrives byte for byte or is refused; nothing of it is ever executed.

Real bash, a real PostgreSQL and a real HTTP server judge. A value that is run anywhere leaves a file behind.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsbook.book.system import System
from opsbook.engine.expressions import ExpressionError
from opsbook.engine.mistakes import InvalidProcedure
from opsbook.engine.shell_values import compile_script
from tests.integration.executing import apply, planned
from tests.integration.servers import Postgres, make_system

CANARY = "opsbook-canary"
"""What a value that is executed would make in the working directory."""

PAYLOADS = [
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"; touch {CANARY} ;",
    f"' ; touch {CANARY} ; '",
    f'" ; touch {CANARY} ; "',
    f"\n touch {CANARY}\n",
    f"a[$(touch {CANARY})]",
    f"${{x:=$(touch {CANARY})}}",
    f"<(touch {CANARY})",
    f"| touch {CANARY}",
    f"&& touch {CANARY} #",
    f"EOF\ntouch {CANARY}\n",
    f"\\$(touch {CANARY})",
    f"\\\\`touch {CANARY}`",
    f"'\"'\"$(touch {CANARY})\"'\"'",
    "{{ 7 * 7 }}", "{% raw %}", "${HOME}", "$HOME", "~root", "*", "?", "[a-z]", "{a,b}", "!!", "-n", "-e", "--",
    "%s%n%x",     "'; DROP TABLE things; --", "1; DROP TABLE things", "') OR 1=1 --", '"; DROP TABLE things; --',
    "$$; DROP TABLE things; $$",
    "%(p1)s", "%s", ":name", "$1", "\\'; DROP TABLE things; --", "E'\\''", "/* */", "x\r\ny: z", "../../etc/passwd",
    "a/b?c=d&e=f#g", "%2e%2e%2f", "http://127.0.0.1:1/", '{"a": 1}', '","b":"', "\\u0000", "</a><b>", "&amp;",
    "é€😀\u202e",     "", " ", "\t", "\n", "\n\n\n", "trailing\n\n", "\x7f", "\x1b[31m", "a" * 99_000,
]  # fmt: skip
TEXT = st.one_of(
    st.sampled_from(PAYLOADS),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=80),
    st.lists(st.sampled_from([*PAYLOADS[:20], "'", '"', "\\", "$", "`", "\n", " ", "a"]), max_size=5).map("".join),
)
QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

# Each prints the value, and nothing else, as the shell sees it.
SCRIPTS = [
    "printf %s {{ v }}",
    'printf %s "{{ v }}"',
    "printf %s ''{{ v }}''",
    "printf %s '{{ v }}'",
    'printf %s ""\'{{ v }}\'""',
    'x={{ v }}; printf %s "$x"',
    'x="{{ v }}"; y=$x; printf %s "$y"',
    'export X={{ v }}; printf %s "$X"',
    "X={{ v }} bash -c 'printf %s \"$X\"'",
    "bash -c 'printf %s \"$1\"' _ {{ v }}",
    "f() { printf %s {{ v }}; }; f",
    'f() { printf %s "$1"; }; f {{ v }}',
    'a=({{ v }} x); printf %s "${a[0]}"',
    'for i in {{ v }}; do printf %s "$i"; done',
    "case {{ v }} in {{ v }}) printf %s {{ v }};; *) echo no;; esac",
    'if [[ {{ v }} == {{ v }} && {{ v }} == "{{ v }}" ]]; then printf %s {{ v }}; fi',
    "( printf %s {{ v }} )",
    "{ printf %s {{ v }}; } | cat",
    "if true; then printf %s {{ v }}; fi # {{ v }}",
    "true && printf '%s' {{ v }} || false",
    'printf %s "$(printf %s. {{ v }})" | head -c -1',
    "cat <<EOF | head -c -1\n{{ v }}\nEOF",
    "cat <<< {{ v }} | head -c -1",
    "cat <<-EOF | head -c -1\n{{ v }}\nEOF",
    "# {{ v }}\nprintf %s {{ v }}",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def system(folder: Path) -> System:
    return make_system(folder, {"api": {"kind": "http", "url": "http://127.0.0.1:1"}})


async def printed(folder: Path, program: str, variables: dict[str, str]) -> bytes:
    """What bash prints, exactly as an `sh` fence runs it."""
    child = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", program, cwd=folder, env={"PATH": "/usr/bin:/bin", **variables},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await child.communicate()
    assert child.returncode == 0, err
    return out


@pytest.mark.parametrize("script", SCRIPTS)
def test_bash_sees_the_value_byte_for_byte(folder: Path, script: str) -> None:
    @settings(QUICK, max_examples=6)
    @given(st.lists(TEXT, min_size=12, max_size=12))
    def check(values: list[str]) -> None:
        found, mistakes = compile_script(script)
        assert found is not None, mistakes
        (name,) = found.values

        async def all_of_them() -> None:
            outputs = await asyncio.gather(*(printed(folder, found.program, {name: value}) for value in values))
            for value, output in zip(values, outputs, strict=True):
                assert output == value.encode(), script

        asyncio.run(all_of_them())

    check()
    assert not (folder / CANARY).exists()


def test_every_payload_in_every_script(folder: Path) -> None:
    async def all_of_them() -> None:
        for script in SCRIPTS:
            found, _ = compile_script(script)
            assert found is not None
            (name,) = found.values
            outputs = await asyncio.gather(*(printed(folder, found.program, {name: value}) for value in PAYLOADS))
            assert outputs == [value.encode() for value in PAYLOADS], script

    asyncio.run(all_of_them())
    assert not (folder / CANARY).exists()


FRAGMENTS = [
    "{{ v }}", '"{{ v }}"', "'{{ v }}'", "echo ", "x=", "$x", '"$x"', "$((", "))", "[[ ", " ]]", " -eq 1", "eval ",
    "; ", "\n", "| ", "bash -c ", "$(", ")", "`", "${", "}", "<<EOF\n", "\nEOF\n", "<<'EOF'\n", "<<< ", "let x=",
    "declare -i x=", "a[", "]=1", "a[x]", "if ", "then ", "fi", "for x in ", "do ", "done", "( ", " )", "{ ",
    "printf %s ", "test -v ", "read x", "export ", "# ", "\\", "!", "sh ", "-c ", "xargs ", "awk ", "sed ", "trap ",
    "local ", "f() ", "f ", "$1", "&& ", "$'", "'", '"', "{a,", "*", "SECONDS=", "\\declare -i x=", "command ",
    "builtin ", "for SECONDS in ", "read SECONDS ", "local -n ", "coproc ", "$[", "compgen -W ", "declare -a x=",
    "x+=", "printf -v x ", "mapfile x ", "((x", "[ ", " ]", "exec ", "time ", "x=( ", "${a[x]}", "${!x}", "unset ",
    "${x@P}", "select x in ",
]  # fmt: skip


TRYING = (
    f"$(touch {CANARY})", f"a[$(touch {CANARY})]", f"'; touch {CANARY}; '", f'"; touch {CANARY}; "', f"touch {CANARY}",
    f"($(touch {CANARY}))",
)  # fmt: skip


@settings(QUICK, max_examples=400)
@given(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=9).map("".join).filter(lambda text: "{{ v }}" in text))
def test_no_script_that_compiles_runs_a_value(tmp_path_factory: pytest.TempPathFactory, script: str) -> None:
    """Scripts put together at random: whatever compiles is run by bash with values that try to get out."""
    try:
        found, mistakes = compile_script(script)
    except ExpressionError:
        return
    if found is None:
        assert mistakes
        return
    folder = tmp_path_factory.mktemp("random")

    async def run() -> None:
        for value in TRYING:
            child = await asyncio.create_subprocess_exec(
                "timeout", "2", "bash", "-c", found.program, cwd=folder,
                env={"PATH": "/usr/bin:/bin", "OPSBOOK_1": value},
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            await child.wait()
            assert not (folder / CANARY).exists(), (script, found.program, value)

    asyncio.run(run())


@pytest.mark.parametrize("value", ["a\0b", "x" * 1_048_576], ids=["NUL", "1 MB"])
async def test_a_shell_word_that_cannot_be_is_refused(system: System, value: str) -> None:
    with pytest.raises(ExpressionError):
        await planned(system, "```sh\nprintf %s {{ v }}\n```", {"v": value}, "params: {v: text}\n")


async def test_a_planned_script_hands_the_value_on(system: System, folder: Path) -> None:
    for value in PAYLOADS:
        change = await planned(system, "```sh\nprintf %s {{ v }}\n```", {"v": value}, "params: {v: text}\n")
        assert (await apply(system, change))["stdout"] == value[-65536:]
    assert not (folder / CANARY).exists()


# PostgreSQL


@pytest.fixture
def database(postgres_server: Postgres, tmp_path: Path) -> Iterator[System]:
    postgres_server.sql("DROP TABLE IF EXISTS things", "CREATE TABLE things (v text)")
    dsn = postgres_server.url(database="app")
    yield make_system(tmp_path, {"database": {"kind": "postgres", "dsn": dsn}})
    assert postgres_server.sql("SELECT count(*) >= 0 FROM things") == [(True,)]
    postgres_server.sql("DROP TABLE things")


SQL = [
    "SELECT {{ v }}::text AS v",
    "SELECT v FROM (VALUES ({{ v }}::text)) AS t(v) WHERE v = {{ v }}",
    "SELECT convert_from(convert_to({{ v }}, 'UTF8'), 'UTF8') AS v -- a comment, with 'quotes' and 100%",
    "SELECT {{ v }}::text AS v WHERE 'a%' LIKE 'a\\%' OR true",
]


@pytest.mark.parametrize("statement", SQL)
async def test_postgresql_sees_the_value_byte_for_byte(database: System, statement: str) -> None:
    for value in [*PAYLOADS, "x" * 1_048_576]:
        change = await planned(database, f"```sql\n{statement}\n```", {"v": value}, "params: {v: text}\n")
        result = await apply(database, change)
        assert str(result["value"])[:60_000] == value[:60_000]


async def test_a_written_value_is_what_was_given(database: System, postgres_server: Postgres) -> None:
    fence = "```sql write\nINSERT INTO things VALUES ({{ v }}); UPDATE things SET v = {{ v }} WHERE v = {{ v }}\n```"
    values = [*PAYLOADS, "x" * 1_048_576]
    for value in values:
        await apply(database, await planned(database, fence, {"v": value}, "params: {v: text}\n"))
    assert [value for (value,) in postgres_server.sql("SELECT v FROM things")] == values


async def test_a_name_is_a_name_whatever_is_in_it(database: System, postgres_server: Postgres) -> None:
    for n, name in enumerate(value for value in PAYLOADS if 0 < len(value.encode()) < 64):
        fence = "```sql write\nCREATE TABLE {{ t | ident }} (n int); INSERT INTO {{ t | ident }} VALUES ({{ n }})\n```"
        front = "params: {t: text, n: int}\n"
        await apply(database, await planned(database, fence, {"t": name, "n": n}, front))
        ((found,),) = postgres_server.sql(f"SELECT count(*) FROM pg_class WHERE relname = {_literal(name)}")
        assert found == 1, name
        await apply(
            database, await planned(database, "```sql write\nDROP TABLE {{ t | ident }}\n```", {"t": name}, front)
        )


def _literal(text: str) -> str:
    return "convert_from('\\x" + text.encode().hex() + "'::bytea, 'UTF8')"


async def test_a_nul_is_refused_before_it_reaches_postgresql(database: System) -> None:
    with pytest.raises(ExpressionError):
        await planned(database, "```sql\nSELECT {{ v }}\n```", {"v": "a\0b"}, "params: {v: text}\n")


# HTTP


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        # The bytes of a header are latin-1 on the wire.
        seen = {
            "path": self.path,
            "note": self.headers.get("X-Note"),
            "body": body.decode(),
            "count": len(self.headers),
        }
        answer = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[System]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield make_system(tmp_path, {"api": {"kind": "http", "url": f"http://127.0.0.1:{server.server_address[1]}/base"}})
    server.shutdown()
    server.server_close()
    thread.join()


async def sent(system: System, request: str, value: Any) -> dict[str, Any]:
    change = await planned(system, f"```http on=api\n{request}\n```", {"v": value}, "params: {v: text}\n")
    result = await apply(system, change)
    # Larger answers than what is kept are judged by their beginning.
    return dict(result.get("json") or {"body": result["body"], "cut": True})


async def test_a_server_sees_the_value_byte_for_byte(echo: System) -> None:
    for value in [*PAYLOADS, "\0", "a\0b"]:
        if len(value) < 2000:
            found = await sent(echo, "POST /q?a={{ v }}&b=1", value)
            assert parse_qs(urlsplit(found["path"]).query, keep_blank_values=True) == {"a": [value], "b": ["1"]}
        if 0 < len(value) < 2000:
            found = await sent(echo, "POST /p/{{ v }}/end", value)
            assert found["path"].split("?")[0].split("/")[1:3] == ["base", "p"]
            assert unquote(found["path"]) == f"/base/p/{value}/end"
        if len(value) < 10_000:
            found = await sent(echo, 'POST /j\n\n{"a": "{{ v }}", "b": {{ v }}}', value)
            assert json.loads(found["body"]) == {"a": value, "b": value}
            found = await sent(echo, "POST /f\nContent-Type: application/x-www-form-urlencoded\n\na={{ v }}&b=1", value)
            assert parse_qs(found["body"], keep_blank_values=True) == {"a": [value], "b": ["1"]}
            found = await sent(echo, "POST /t\nContent-Type: text/plain\n\n{{ v }}.", value)
            assert found["body"] == value + "."


async def test_a_header_is_one_header_or_refused(echo: System) -> None:
    plain = (await sent(echo, "POST /h\nX-Note: {{ v }}", "plain"))["count"]
    refused = 0
    for value in PAYLOADS:
        try:
            found = await sent(echo, "POST /h\nX-Note: {{ v }}", value)
        except ExpressionError:
            refused += 1
            continue
        assert found["count"] == plain
        assert found["note"] == value
    assert 5 < refused < 20


async def test_a_megabyte_is_sent_in_a_body_and_refused_in_an_address(echo: System) -> None:
    value = "x" * 1_048_576
    found = await sent(echo, 'POST /j\n\n{"a": "{{ v }}"}', value)
    assert found["cut"]
    for request in ("POST /p/{{ v }}", "POST /q?a={{ v }}", "POST /h\nX-Note: {{ v }}"):
        with pytest.raises(ExpressionError):
            await sent(echo, request, value)


# Text of a book itself


LINES = [
    "---\n", "title: x\n", "params: {a: text}\n", "```sh\n", "```sql\n", "```op\n", "```http\n", "```check\n", "```\n",
    "````\n", "- [ ] ", "1. ", "   ", "{{ a }}", "{{", "}}", "'", '"', "\t", "a: {b: c}\n", "GET /x\n", "SELECT 1;\n",
    " when=", "x\n", "\0", "\r", "é",
]  # fmt: skip


@settings(QUICK, max_examples=200)
@given(st.lists(st.sampled_from(LINES), max_size=25).map("".join))
def test_any_text_compiles_or_is_told_its_mistakes(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    from opsbook.engine.compile import compile_procedure

    system = _any_system(tmp_path_factory)
    try:
        compile_procedure(text, "any.md", system, system.book.catalogue)
    except InvalidProcedure as error:
        assert str(error)


_systems: list[System] = []


def _any_system(factory: pytest.TempPathFactory) -> System:
    if not _systems:
        components = {
            "api": {"kind": "http", "url": "http://h"},
            "database": {"kind": "postgres", "dsn": "postgresql://h"},
        }
        _systems.append(make_system(factory.mktemp("any"), components))
    return _systems[0]
