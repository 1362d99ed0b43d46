"""What deletes or overwrites data, ends sessions or workloads, or takes a service down: by the tools' own meaning.

The tools are a table in danger_rules.py. A manual's own scripts are judged by their names, as a reader must judge them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from opsbook.manual.danger_rules import RULES
from opsbook.manual.shell import Command
from opsbook.manual.tools import COMMANDS

_COMPILED = tuple((re.compile(rf"(?:{program})$"), re.compile(pattern), why) for program, pattern, why in RULES)

_SCRIPT = re.compile(
    r"(?:^|[/_.-])(?:restore|rollback|roll-back|deploy|redeploy|wipe|reset|purge|drop|destroy|teardown|"
    r"tear-down|failover|switchover|shutdown|stop|cleanup|clean-up|uninstall|recover|migrate)(?=[_.-]|$)",
    re.I,
)
_SCRIPT_HARMLESS = re.compile(r"check|verify|status|test|list|dry|backup|monitor|health|validate|plan", re.I)
_VERB = re.compile(
    r"(?:stop|shutdown|kill|purge|flush|wipe|destroy|drop|delete|remove|reset|truncate|migrate|restore|rollback|"
    r"failover|clear)$",
    re.I,
)
_VERB_FLAG = re.compile(r"--(?:clear|purge|wipe|flush|delete|drop|reset)$")
_VERB_HARMLESS = re.compile(r"--(?:dry-run|check|plan|help|list|status)$|(?:status|list|show|check|plan)$", re.I)
_LOADERS = ("psql", "mysql", "mariadb", "sqlite3", "clickhouse-client", "sqlcmd")
_DUMP = re.compile(r"\.(?:sql|dump|gz|bak|backup|zst|bz2|xz|sqlc|tar)\b|backup|dump|BACKUP|DUMP|latest")

_SQL: tuple[tuple[str, str], ...] = (
    (r"delete\s+from\b|delete\s+\w+\s+from\b", "deletes rows"),
    (r"truncate\b", "empties a table"),
    (
        r"drop\s+(?:table|database|schema|user|role|owned|view|materialized|extension|column|tablespace|"
        r"publication|subscription|function|partition)\b",
        "drops objects",
    ),
    (r"update\s+(?:only\s+)?\S+(?:\s+as\s+\w+|\s+\w+)?\s+set\b", "overwrites rows"),
    (r"alter\s+table\b.*\b(?:drop|alter\s+column\b.*\btype|rename)\b", "changes a table"),
    (r"alter\s+(?:user|role)\b.*\b(?:password|nologin|identified)\b", "changes a live password"),
    (r"set\s+password\b", "changes a live password"),
    (r"alter\s+database\b.*\b(?:rename|allow_connections|set\s+single_user)\b", "cuts a database off"),
    (r"vacuum\s+(?:\(?\s*full|\([^)]*full)", "locks every table it rewrites"),
    (r"kill\s+(?:query\s+|connection\s+)?\d", "ends sessions"),
    (r"merge\s+into\b|replace\s+into\b|load\s+data\b", "overwrites rows"),
)
_SQL_COMPILED = tuple((re.compile(pattern, re.I | re.S), why) for pattern, why in _SQL)
_SQL_CALLS = re.compile(
    r"\b(pg_terminate_backend|pg_cancel_backend|pg_drop_replication_slot|pg_promote|drop_chunks|"
    r"pg_switch_wal_stop)\s*\(",
    re.I,
)

_PROSE = re.compile(
    r"^\W*(?:restore|delete|drop|wipe|purge|truncate|destroy|overwrite|format|erase|terminate|shut ?down|fail "
    r"?over|tear down|"
    r"restaura[r]?|elimina[r]?|borra[r]?|apaga[r]?|excluir|wiederherstellen|löschen|stoppen|herunterfahren|"
    r"восстановить|удалить|очистить|остановить)\b"
    r"|^\W*(?:恢复|删除|清空|清除|停止|回滚|復元|削除|복구|삭제)|(?:löschen|wiederherstellen|stoppen)\W*$",
    re.I,
)


def why_destructive(command: Command, before: Sequence[Command] = ()) -> str:
    """Why a command, or one it runs, is destructive; empty where it is not.

    `before` are the earlier ones of its pipeline.
    """
    for each in command.walk():
        reason = _why(each, before)
        if not reason and each is not command and each.program in _LOADERS:
            fed = any(r.operator == "<" and _DUMP.search(r.target.text) for r in command.redirects)
            reason = "loads a dump into a database" if fed else ""
        if reason:
            return reason
    return ""


def _why(command: Command, before: Sequence[Command]) -> str:
    program, line = command.program, " ".join(command.words)
    if not program or re.search(r"--help\b|--version\b", line):
        return ""
    for embedded in command.embedded:
        reason = sql_destructive(embedded.text) if embedded.language == "sql" else ""
        if reason:
            return reason
    for programs, pattern, why in _COMPILED:
        if programs.match(program) and pattern.search(line):
            return why
    if program in _LOADERS:
        return _loads(command, before)
    if program in ("kubectl", "oc") and "apply" in command.words and any(_makes_secret(each) for each in before):
        return "overwrites a secret or configuration"
    if program in ("tar", "unzip", "cp", "rsync", "mv", "gunzip"):
        return _unpacks(program, command.words)
    if re.search(r"\.(?:sh|py|rb|js|ts|pl)$", program) or "/" in (command.argv[0].text or ""):
        return _by_name(program)
    if (
        program in ("bash", "sh", "python", "python3", "make", "npm", "yarn", "node", "ruby", "just", "task")
        and not command.nested
    ):
        script = next(
            (word for word in command.words[1:] if not word.startswith("-") and word not in ("run", "exec")), ""
        )
        told = _by_name(script.rsplit("/", 1)[-1]) if not command.embedded else ""
        return told or _by_verb(command)
    return _by_verb(command)


def _by_verb(command: Command) -> str:
    """A program of the manual's own is judged by the verb that follows its name: `shopctl queue purge`."""
    words = [word for word in command.words if not word.startswith("-")][1:3]
    if command.program.startswith("python") and "-m" in command.words:
        words = words[1:]
    elif command.program in COMMANDS or not re.fullmatch(r"[a-z][\w.-]+", command.program):
        return ""
    flag = next((flag for flag in command.words if _VERB_FLAG.match(flag)), "")
    if any(_VERB_HARMLESS.match(word) for word in command.words[1:]):
        return ""
    verb = next((word for word in words if _VERB.match(word)), "")
    return f"tells {command.program} to {(verb or flag).lstrip('-')}" if verb or flag else ""


def _by_name(script: str) -> str:
    return f"runs {script}" if _SCRIPT.search(script) and not _SCRIPT_HARMLESS.search(script) else ""


def _loads(command: Command, before: Sequence[Command]) -> str:
    if any(redirect.operator == "<" for redirect in command.redirects):
        return "loads a dump into a database"
    words = command.words
    for flag, word in pairwise(words):
        if flag in ("-f", "--file") and re.search(r"backup|dump|restore|latest|snapshot", word, re.I):
            return "loads a dump into a database"
    if before and before[-1].program in (
        "gunzip",
        "zcat",
        "cat",
        "gzip",
        "bzcat",
        "xzcat",
        "zstd",
        "zstdcat",
        "pg_restore",
        "aws",
        "gpg",
        "openssl",
        "sed",
        "pv",
        "unzip",
        "pigz",
    ):
        return "loads a dump into a database" if before[-1].heredoc is None else ""
    return ""


def _makes_secret(command: Command) -> bool:
    return (
        command.program in ("kubectl", "oc")
        and "create" in command.words
        and bool({"secret", "configmap", "cm"} & set(command.words))
    )


def _unpacks(program: str, words: Sequence[str]) -> str:
    """Files put back from a backup overwrite the live ones."""
    if program == "tar":
        extracts = len(words) > 1 and (re.match(r"-?[a-zA-Z]*x", words[1]) or "--extract" in words)
        return (
            "overwrites files from an archive"
            if extracts and any(re.search(r"backup|restore", w, re.I) or w == "/" for w in words[2:])
            else ""
        )
    if program == "gunzip":
        return ""
    operands = [word for word in words[1:] if not word.startswith("-")]
    if (
        len(operands) >= 2
        and re.search(r"backup|\.bak\b|restore", operands[-2], re.I)
        and not re.search(r"backup|restore|/tmp|\.bak\b|s3:", operands[-1], re.I)
    ):
        return "overwrites files from a backup"
    return ""


def sql_destructive(text: str) -> str:
    """Why a statement in a text of SQL is destructive; empty where none is."""
    plain = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.S)
    bare = re.sub(r"'(?:[^']|'')*'", "''", plain)
    if (call := _SQL_CALLS.search(bare)) is not None:
        return (
            "ends sessions"
            if call[1].lower() in ("pg_terminate_backend", "pg_cancel_backend")
            else f"calls {call[1].lower()}"
        )
    for statement in bare.split(";"):
        body = re.sub(
            r"^\s*(?:begin\b|with\b.*?\)\s*(?=(?:delete|update)\b)|explain\s+analyze\s+)",
            "",
            statement.strip(),
            flags=re.I | re.S,
        ).strip()
        for pattern, why in _SQL_COMPILED:
            if pattern.match(body):
                return why
    return ""


def prose_destructive(text: str) -> str:
    """Why a step that a person does is destructive, by the verb that opens it."""
    match = _PROSE.search(text.strip())
    return f"says to {match[0].strip().lower()}" if match else ""
