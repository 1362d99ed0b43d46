"""A plan as plain commands: nothing that a value holds becomes code, and every kind says what is to be done."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from opsbook.book.catalogue import Risk
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.by_hand.psql import bound, literal
from opsbook.connectors.by_hand.shell_text import comment, fed, word
from opsbook.engine.commands import as_commands
from opsbook.engine.procedure import Plan, PlannedStep, Procedure, Step, StepKind

BOOK = """
opsbook: 1
system: kiln
default_environment: test
environments:
  test: {runtime: {kind: supervisor, config: "../run/supervisord.conf"}, policy: open, env_file: env}
components:
  api: {kind: http, workload: api, url: "${API_URL}", headers: {Authorization: "Bearer ${TOKEN}"}, ca: "${CA}"}
  database: {kind: postgres, dsn: "${DATABASE_URL}", admin: "${ADMIN_URL}"}
  reports: {kind: postgres, dsn: "postgresql://me:pass@127.0.0.1/reports"}
  pair: {kind: postgres, dsn: "${DATABASE_URL}", admin: "${ADMIN_URL}", failover: {servers: [
    {workload: pg-one, url: "${ONE_URL}", data: "${ONE_DATA}"}, {workload: pg-two, url: "${TWO_URL}"}], repoint: [
    {file: stack.env, primary: [DATABASE_URL], restart: [api]}]}}
  cache: {kind: redis, url: "file:cache-url"}
  worker: {kind: celery, broker: cache}
  secret-cache: {kind: redis, url: "${CACHE_URL}"}
  queue: {kind: celery, broker: secret-cache}
  proxy: {kind: proxy, url: "${API_URL}", maintenance: {include: "${BANNER}", pid_file: nginx.pid, check: ["true"]}}
backups:
  - {id: nightly, of: database, to: "${BACKUPS}", encrypt: "${RECIPIENT}", decrypt: "${IDENTITY}", copy_to: s3://far/off}
  - {id: plain, of: database, method: tables, tables: [public.orders], to: backups}
  - {id: cached, of: cache, method: rdb, to: backups}
  - {id: wal, of: database, method: pgbackrest, continuous: true, to: repo}
"""
HOSTILE = ("a\ntouch PWNED #", "a\rtouch PWNED", "$(touch PWNED)", "'; touch PWNED; '", "TEXT\n`touch PWNED`",
           "\u2028touch PWNED", "\x1b[2Ktouch PWNED", "\\", "\\'\ntouch PWNED\n")  # fmt: skip
COMMENTED = [*HOSTILE, "a\x0btouch PWNED", "a\x0ctouch PWNED", "a\x85touch PWNED"]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> System:
    folder = tmp_path_factory.mktemp("book")
    (folder / "book.yaml").write_text(BOOK)
    (folder / "env").write_text("ADMIN_URL=postgresql+asyncpg://root@127.0.0.1/kiln\n")
    return in_environment(load_book(folder / "book.yaml", catalogue()))


def told(system: System, kind: str, effect: dict[str, Any], title: str = "Do it", **more: Any) -> str:
    """The commands of a plan with one change."""
    step = Step("one", StepKind.OP, title, 1, {"operation": "x", "parameters": {}}, Risk.SAFE, idempotent=True)
    change = {"kind": kind, "effect": effect, "evidence": None, "guard": None, "inverse": "none", **more}
    procedure = Procedure("p", title, Risk.SAFE, (step,))
    plan = Plan(procedure, {}, "test", "", (PlannedStep("one", Risk.SAFE, (change,)),), "0" * 64)
    return as_commands(plan, system)


def steps_of(text: str) -> str:
    """What follows the opening."""
    return text.split("[safe]\n", 1)[1]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_stays_a_word(value: str, tmp_path: Path) -> None:
    bash = shutil.which("bash") or "bash"
    for text in (f"printf %s {word(value)}", f"printf %s {word(value, script=True)}", "\n".join(fed("cat", value))):
        done = subprocess.run([bash, "-c", text], capture_output=True, cwd=tmp_path, check=True)
        assert done.stdout.decode() == value
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("value", COMMENTED)
def test_every_line_break_begins_another_comment(value: str) -> None:
    text = "\n".join(comment(f"said {value}"))
    assert all(line.startswith("#") for line in text.splitlines())
    assert all(one.isprintable() or one == "\n" for one in text)


@pytest.mark.parametrize("kind", ["file", "unheard-of", "maintenance", "argv", "http", "sql", "redis", "celery-call"])
def test_no_value_becomes_a_command(system: System, kind: str) -> None:
    def effect(value: str) -> dict[str, Any]:
        return {
            "file": {"path": "it", "content": value},
            "unheard-of": {"content": value, value: "x"},
            "maintenance": {"component": "proxy", "include": "${BANNER}", "content": value},
            "argv": {"argv": ["bash", "-c", "true"], "env": {"VALUE": value}},
            "http": {"component": "api", "method": "POST", "url": f"/{value}", "headers": {"X": value}, "body": value},
            "sql": {"component": "database", "statement": "SELECT %(v)s", "parameters": {"v": value}, "write": True},
            "redis": {"component": "cache", "command": ["SET", "k", value]},
            "celery-call": {"component": "worker", "follow": False,
                            "calls": [{"task": value, "args": [value], "kwargs": {}, "queue": ""}]},
        }[kind]  # fmt: skip

    # Functions stand in for every tool: only what has broken out of its word does anything.
    tools = ("cd", "cat", "psql", "redis-cli", "curl", "celery", "bash", "true", "kill", "grep", "cp", "dirname",
             "basename", "printf")  # fmt: skip
    stubs = "".join(f"{name}() {{ :; }}\n" for name in tools) + "touch() { echo PWNED >&2; }\n"
    stubs += "".join(f"{name}=x\n" for name in ("API_URL", "TOKEN", "CA", "DATABASE_URL", "ADMIN_URL", "BANNER"))
    for wrapped in ("{}", "said {}"):
        values = [wrapped.format(value) for value in COMMENTED]
        text = "\n".join(told(system, kind, effect(value), title=value) for value in values)
        body = text.replace("set -a; . env; set +a\n", "").replace('> "$include"', "").replace("> it", "")
        done = subprocess.run(["bash", "-c", stubs + body], capture_output=True, text=True, check=False)
        assert "PWNED" not in done.stderr and done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "NULL"), (True, "true"), (5, "5"), (-5, "(-5)"), (2.5, "'2.5'::float8"), ("it's", "'it''s'"),
        ("a\nb\\", "E'a\\u000ab\\\\'"), (["a", "b"], "ARRAY['a', 'b']"), ([], "'{}'"),
        ({"a": 1}, "'{\"a\": 1}'::jsonb"),
    ],
)  # fmt: skip
def test_values_are_literals_of_sql(value: Any, expected: str) -> None:
    assert literal(value) == expected


def test_nothing_that_is_bound_is_read_again() -> None:
    text = bound("SELECT %(a)s, %(b)s, '100%%'", {"a": "%(b)s", "b": None}, {})
    assert text == "SELECT '%(b)s', NULL, '100%'"


def test_statements_go_to_the_address_that_the_book_names(system: System) -> None:
    effect = {"component": "database", "statement": "VACUUM", "parameters": {}}
    write, read = (steps_of(told(system, "sql", {**effect, "write": write})) for write in (True, False))
    assert write.startswith('at_postgres "${ADMIN_URL/+asyncpg:/:}" psql -X -v ON_ERROR_STOP=1 <<')
    assert read.startswith('at_postgres "${DATABASE_URL}" psql -X -v ON_ERROR_STOP=1 <<') and "BEGIN READ ONLY;" in read
    whole = told(system, "sql", {**effect, "write": True})
    assert ': "${ADMIN_URL:?is not set}"  # admin of database' in whole and "set -a; . env; set +a" in whole


def test_a_secret_is_never_copied_out_of_the_book(system: System) -> None:
    effect = {"component": "reports", "statement": "SELECT %(pw)s", "secrets": {"pw": "${PW}"}, "write": False}
    text = told(system, "sql", effect)
    assert "me:pass" not in text and ': "${DSN_OF_REPORTS:?is not set}"' in text
    assert '\\set pw `printf %s "${PW}"`' in text and "SELECT :'pw';" in text


@pytest.mark.parametrize(
    ("kind", "effect", "more", "expected"),
    [
        ("redis", {"component": "cache", "command": ["FLUSHDB", "ASYNC"]}, {},
         r'at_redis "\$\(cat "cache-url"\)" FLUSHDB ASYNC'),
        ("redis-setting", {"component": "cache", "name": "maxmemory", "value": "1gb", "keep": True}, {},
         r"CONFIG SET maxmemory 1gb\nat_redis .* CONFIG REWRITE"),
        ("redis-unlink", {"component": "cache", "pattern": "api:*", "spare": ["celery"], "ceiling": 5, "a_second": 1},
         {}, r"--scan --pattern 'api:\*'.*grep -vxF -e celery.*each_at_redis .* UNLINK"),
        ("supervisor", {"verb": "stop", "workload": "api", "processes": ["api_00"], "wait": 1}, {},
         r"supervisorctl -c \.\./run/supervisord\.conf stop api:api_00"),
        ("supervisor", {"verb": "scale", "workload": "api", "replicas": 2, "wait": 1},
         {"guard": {"slots": ["a", "b", "c"]}, "evidence": {"processes": {"a": {"state": "RUNNING"}}}},
         r"supervisorctl .* start api:b$"),
        ("supervisor", {"verb": "deploy", "workload": "api", "version": "2", "current": "/c", "release": "/r/2",
                        "wait": 1}, {"guard": {"slots": ["a"]}},
         r"ln -sfnr -- /r/2 /\.c\.new\nmv -T -- /\.c\.new /c\nsupervisorctl .* restart api:a"),
        ("sql-exclusive", {"component": "database", "table": "t", "statement": 'VACUUM (FULL) "t"', "lock_timeout": 3},
         {}, r"SET lock_timeout = '3s';\nVACUUM \(FULL\) \"t\";"),
        ("sql-index", {"component": "database", "schema": "s", "table": "t", "statement": "REINDEX x",
                       "invalid": "_cc"}, {}, r"x\.indisvalid .*relname ~ '_cc' \\gexec\nREINDEX x;"),
        ("postgres-setting", {"component": "database", "name": "work_mem", "statement": "ALTER SYSTEM SET a = '8MB'"},
         {}, r"ALTER SYSTEM SET a = '8MB';\nSELECT pg_reload_conf\(\);"),
        ("http", {"component": "api", "method": "POST", "url": "/go", "body": "{}"}, {},
         r"curl -sS --fail-with-body -X POST --cacert \"\$\{CA\}\" -H @<\(printf .*Bearer \$\{TOKEN\}.*URL\}/go\""),
        ("http-expecting", {"component": "api", "method": "GET", "url": "/go", "status": 204}, {}, r"= 204 \]"),
        ("wait", {"component": "api", "healthy": True, "within": 9}, {},
         r'curl -fsS .*--retry 9 .*"\$\{API_URL\}/health"'),
        ("file", {"path": "a.conf", "previous": "f" * 64}, {"guard": {"digest": "e" * 64}},
         r"cp -p -- a\.conf \.a\.conf\.e{16}\.previous\ncp -p -- \.a\.conf\.f{16}\.previous a\.conf"),
        ("copy", {"from": "/a", "to": "/b", "files": ["x"]}, {},
         r"cd /a && xargs .* cp -p --parents .*'FILES'\nx\nFILES"),
        ("celery-control", {"component": "worker", "command": "rate_limit",
                            "arguments": {"task_name": "t", "rate_limit": "1/m"}}, {}, r"control rate_limit t 1/m"),
        ("celery-consumers", {"component": "worker", "queues": ["q"], "consume": False}, {},
         r"control cancel_consumer q"),
    ],
)  # fmt: skip
def test_each_kind_is_told_by_the_tool_of_the_hand(
    system: System, kind: str, effect: dict[str, Any], more: dict[str, Any], expected: str
) -> None:
    text = steps_of(told(system, kind, effect, **more))
    assert re.search(expected, text, re.DOTALL | re.MULTILINE), text


RESTORE = {"component": "database", "backup": "nightly", "stamp": "20260101T000000Z", "manifest": "", "database": "new",
           "tables": [], "jobs": 1, "assertions": ["orders"], "replaces": False}  # fmt: skip
AT = {"component": "database", "backup": "wal", "label": "", "kind": "time", "target": "2026-01-01 00:00:00+00",
      "database": "then", "tables": [], "into_live": False, "assertions": [], "jobs": 1}  # fmt: skip
PAIR = {"component": "pair", "server": "pg-one"}
PGBACKREST = {"act": "backup", "component": "database", "backup": "wal", "stanza": "s", "config": "/c.conf"}


@pytest.mark.parametrize(
    ("kind", "effect", "more", "expected"),
    [
        ("backup", {"act": "take", "backup": "nightly", "component": "database"}, {},
         r'pg_dump --format=custom > .*\nage -e -r "\$\{RECIPIENT\}".*put_away "\$file" "\$.*/kiln/nightly/by-hand"'),
        ("backup", {"act": "take", "backup": "plain", "component": "database"}, {}, r"--table=public\.orders >"),
        ("backup", {"act": "take", "backup": "cached", "component": "cache"}, {}, r'at_redis .* --rdb "\$file"'),
        ("backup", {"act": "copy", "backup": "nightly"}, {}, r'rclone copy .*"\$\{BACKUPS\}/kiln/nightly" "s3://far/off/kiln/nightly"'),
        ("backup-note", {"act": "verify", "backup": "nightly", "stamp": "S"}, {}, r'fetched "\$.*/nightly/S"\nsums_of'),
        ("backup-note", {"act": "hold", "backup": "nightly", "stamp": "S"}, {}, r"by hand: hold nightly/S"),
        ("backup-prune", {"act": "delete", "backup": "plain", "place": "first", "stamp": "S", "stays": "T"}, {},
         r'deletefile "backups/kiln/plain/S/manifest\.json" && rclone purge "backups/kiln/plain/S"'),
        ("restore-postgres", RESTORE, {}, r'sums_of\nidentity="\$\{IDENTITY\}"\ndatabase_of "\$\{ADMIN_URL.*\}" new\n'),
        ("restore-postgres", {**RESTORE, "database": "kiln", "replaces": True}, {},
         r'database_of .* opsbook_by_hand\n.*DROP DATABASE "kiln" WITH \(FORCE\);\nALTER .* RENAME TO "kiln";'),
        ("restore-tables", {**RESTORE, "database": "kiln", "tables": ["public.orders"]}, {},
         r"DELETE FROM public\.orders;.*pg_dump --data-only --table=public\.orders.*--single-transaction"),
        ("switch-database", {"component": "database", "live": "a", "new": "b", "kept": "c"}, {},
         r'BEGIN;\nALTER DATABASE "a" RENAME TO "c";\nALTER DATABASE "b" RENAME TO "a";\nCOMMIT;'),
        ("drop-database", {"component": "database", "database": "c"}, {"guard": {"comment": "it's"}},
         r"'it''s' AS same.*\\gset\n\\if :same\nDROP DATABASE \"c\""),
        ("drill-restore", {"component": "database", "backup": "nightly"}, {}, r"by hand: restore the backup"),
        ("pgbackrest", {**PGBACKREST, "type": "diff"}, {},
         r"runuser -u postgres -- pgbackrest --config=/c\.conf --stanza=s --type=diff backup"),
        ("pgbackrest", {**PGBACKREST, "act": "verify"}, {}, r"--stanza=s verify"),
        ("restore-at", AT, {}, r'"repo/kiln/wal/pgbackrest\.conf" .*--type=time .*restore.*pg_ctl.*pg_restore'),
        ("restore-at", {**AT, "into_live": True, "tables": ["public.orders"]}, {}, r"by_hand.*DELETE FROM public"),
        ("postgres-fence", {**PAIR, "planned": False}, {},
         r"supervisorctl .* stop 'pg-one:\*'\ntouch \"\$\{ONE_DATA\}/standby\.signal\""),
        ("postgres-unfence", PAIR, {}, r"only where .*\nrm -f -- .*standby\.signal\"\nsupervisorctl .* start"),
        ("postgres-promote", {"component": "pair", "server": "pg-two"}, {}, r"TWO_URL.*pg_promote\(true, 60\)"),
        ("postgres-repoint", {"component": "pair", "place": 0, "file": "stack.env"}, {},
         r"by hand: in stack\.env.*\n.*DATABASE_URL: the new primary\n.*restart 'api:\*'"),
        ("postgres-rebuild", {"component": "pair"}, {}, r"pg_rewind --target-pgdata=\"\$\{PGDATA_PG_TWO\}\""),
        ("postgres-serves", {"component": "pair", "pages": [{"component": "api", "path": "/a b"}], "within": 9}, {},
         r"curl -fsS .*--retry 9 .*\"\$\{API_URL\}\"'/a b'"),
        ("drill-failover", {"component": "pair"}, {}, r"by hand: `opsbook plan failover-pair --as-commands`"),
    ],
)  # fmt: skip
def test_recovery_is_told_by_the_nearest_tool(
    system: System, kind: str, effect: dict[str, Any], more: dict[str, Any], expected: str
) -> None:
    whole = told(system, kind, effect, **more)
    assert re.search(expected, steps_of(whole), re.DOTALL | re.MULTILINE), steps_of(whole)
    subprocess.run(["bash", "-n"], input=whole, text=True, check=True)


TOOLS = ("psql", "pg_dump", "redis-cli", "celery", "xargs", "grep", "wc")
SPY = """#!/bin/sh
printf '%s ' "${0##*/}" "$@" >> argv; printf '%s|%s|%s\\n' "$PGPASSWORD" "$REDISCLI_AUTH" "$BROKER_URL" >> given
cat > /dev/null
"""


def test_no_password_stands_in_an_argv(system: System, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in TOOLS:
        (tmp_path / "bin" / name).write_text(SPY)
        (tmp_path / "bin" / name).chmod(0o755)
    sql = {"component": "database", "statement": "SELECT 1", "write": False}
    unlink = {"component": "secret-cache", "pattern": "a", "spare": [], "ceiling": 1, "a_second": 1}
    script = "\n".join([
        told(system, "sql", sql), told(system, "redis", {"component": "secret-cache", "command": ["PING"]}),
        told(system, "redis-unlink", unlink),
        told(system, "celery-control", {"component": "queue", "command": "revoke", "arguments": {"task_id": ["x"]}}),
    ])  # fmt: skip
    script = "\n".join(line for line in script.split("\n") if not line.startswith(("cd ", "set -a")))
    env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "DATABASE_URL": "postgresql://me:se%3Acret%5C@h:1/d?sslmode=off",
           "CACHE_URL": "redis://you:hid%40den@h:2/3"}  # fmt: skip
    command = ["bash", "-c", script]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, text=True, env=env, cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    argv, given = ((tmp_path / name).read_text() for name in ("argv", "given"))
    assert not re.search("cret|den", argv), argv
    assert "psql -d postgresql://me@h:1/d?sslmode=off" in argv and "--user you -u redis://h:2/3 PING" in argv
    assert "se:cret\\||" in given and "|hid@den|" in given and "||redis://you:hid%40den@h:2/3" in given


def test_a_kind_without_commands_says_what_is_to_be_done_by_hand(system: System) -> None:
    assert "#    by hand" in told(system, "unheard-of", {"what": "it"}) and "#    what: it" in told(
        system, "unheard-of", {"what": "it"}
    )


def test_the_kinds_of_operations_have_commands() -> None:
    from opsbook.connectors.by_hand.script import RENDERERS
    from opsbook.connectors.registry import registered

    rooms = (
        "argv", "backup", "backup_note", "backup_prune", "batch", "celery", "copy", "failover", "failover_drill",
        "failover_rebuild", "file", "http", "http_expecting", "maintenance", "pgbackrest", "postgres_maintenance",
        "postgres_setting", "redis", "redis_scan", "restore_at", "restore_drill", "restore_files", "restore_postgres",
        "restore_tables", "sql", "supervisor_executor", "switch_database", "wait",
    )  # fmt: skip
    kinds = {kind for kind, make in registered().executors.items() if make.__module__.rpartition(".")[2] in rooms}
    assert len(kinds) > 35 and kinds <= set(RENDERERS)


@pytest.mark.parametrize(
    ("runtime", "within"),
    [
        ('{kind: compose, file: ../run/compose.yaml, host: "${ENGINE}", project: kiln}',
         'DOCKER_HOST="${ENGINE}" docker compose -f ../run/compose.yaml -p kiln exec -T'),
        ("{kind: kubernetes, namespace: kiln}", "kubectl -n kiln exec -i"),
    ],
)  # fmt: skip
def test_of_servers_in_containers_the_primary_is_found_first(tmp_path: Path, runtime: str, within: str) -> None:
    book = BOOK.replace('{kind: supervisor, config: "../run/supervisord.conf"}', runtime)
    book = book.replace('data: "${ONE_DATA}"', "inside: /data/one")
    book = book.replace('"${TWO_URL}"', '"${TWO_URL}", inside: /two')
    book += "  - {id: inside, of: pair, method: pgbackrest, to: repo, pgbackrest: {inside: {folder: /data/backups}}}\n"
    (tmp_path / "book.yaml").write_text(book)
    (tmp_path / "env").write_text("")
    system = in_environment(load_book(tmp_path / "book.yaml", catalogue()))
    text = told(system, "pgbackrest", {**PGBACKREST, "component": "pair", "backup": "inside", "type": "full"})
    assert re.search(f'{re.escape(within)} "\\$primary" (-- )?runuser -u postgres -- pgbackrest --config=/c', text)
    looks = text[text.index("# ", text.index("[safe]\n") + 7) : text.index(f'{within} "$primary"')]
    assert "pg-one or pg-two: where a server works and follows no other" in looks
    for leads, expected in (("/two", "pg-two"), ("/data/one", "pg-one"), ("/none", "")):
        stubs = f'sh() {{ [ "$4" = {leads} ]; }}; ENGINE=x\n'
        stubs += 'docker() { while [ $1 != -T ]; do shift; done; shift 2; "$@"; }\n'
        stubs += 'kubectl() { while [ $1 != -i ]; do shift; done; shift 3; "$@"; }\n'
        done = subprocess.run(
            ["bash", "-c", f'{stubs}{looks}\necho "$primary"'], capture_output=True, text=True, check=False
        )
        assert done.stdout.strip().removeprefix("statefulset/") == expected
        assert (done.returncode == 0) is bool(expected), done.stderr
