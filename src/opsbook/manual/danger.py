"""What deletes or overwrites data, ends sessions or workloads, or takes a service down: by the tools' own meaning.

Each row is a program (regular expression over its name), a pattern over its words, and the reason shown to people. A manual's own
scripts are judged by their names, as a reader must judge them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from opsbook.manual.shell import Command

_KUBE = r"kubectl|oc|k|kubecolor"
_RULES: tuple[tuple[str, str, str], ...] = (
    (_KUBE, r"\bdelete\s(?!.*--dry-run)", "deletes Kubernetes objects"),
    (_KUBE, r"\bscale\s.*--replicas[= ]0\b", "scales a workload to nothing"),
    (_KUBE, r"\brollout\s+undo\b", "rolls a workload back"),
    (_KUBE, r"\bset\s+image\b", "replaces the running image"),
    (_KUBE, r"\breplace\s(?!.*--dry-run)", "replaces Kubernetes objects"),
    (_KUBE, r"\bdrain\s(?!.*--dry-run)", "drains a node"),
    (_KUBE, r"\bpatch\s+(?:services?|svc|ingress(?:es)?|ing|secrets?|configmaps?|cm|virtualservices?|routes?|pvc?)\b(?!.*--dry-run)", "redirects traffic or overwrites configuration"),
    (_KUBE, r"\bpatch\s.*\"(?:replicas\"\s*:\s*0\b|image\"|minReplicas\"\s*:\s*0)", "changes a running workload"),
    ("helm", r"\b(?:upgrade|rollback|uninstall|delete)\b(?!.*--dry-run)", "replaces or removes a release"),
    ("argocd|flux", r"\b(?:rollback|delete)\b", "rolls an application back"),
    ("docker|podman|nerdctl", r"^\S+\s+(?:container\s+|volume\s+|network\s+|image\s+)?(?:stop|kill|rm|rmi|prune)\b", "stops or removes containers"),
    ("docker|podman", r"\b(?:system|volume|container|image|builder|network)\s+prune\b", "removes containers, images or volumes"),
    ("docker|podman", r"\b(?:swarm leave|service\s+(?:rm|rollback|update)|stack\s+(?:rm|deploy))\b", "replaces or removes services"),
    ("docker-compose|podman-compose|docker|podman", r"(?:compose\s(?:.*\s)?)(?:down|stop|kill|rm)\b", "stops the containers"),
    ("docker-compose|docker|podman-compose", r"compose\s(?:.*\s)?up\b.*(?:--force-recreate|--no-deps|--build)", "replaces containers"),
    ("systemctl", r"\b(?:stop|kill|poweroff|reboot|halt|isolate|mask)\b", "stops a service"),
    ("service", r"\sstop\b", "stops a service"),
    ("supervisorctl|pm2|rc-service|initctl|launchctl", r"\b(?:stop|delete|kill|shutdown|unload)\b", "stops a service"),
    ("reboot|shutdown|halt|poweroff|init", r"", "takes the host down"),
    ("kill|pkill|killall|fuser", r"^(?!kill\s+-(?:0|l)\b)(?!fuser(?!.*-k))", "kills processes"),
    ("rm|rmdir|unlink|shred|wipefs|mkfs(?:\\.\\w+)?|lvremove|vgremove|srm", r"", "deletes files"),
    ("find", r"\s-delete\b", "deletes files"),
    ("truncate", r"-s\s*0", "empties files"),
    ("dd", r"\bof=/dev/(?!null)", "overwrites a device"),
    ("rsync", r"--delete\b", "deletes files at the destination"),
    ("zfs|zpool", r"\b(?:destroy|rollback)\b", "destroys a file system"),
    ("dropdb|dropuser|pg_resetwal", r"", "drops a database"),
    ("pg_restore", r"^(?!.*(?:\s-l\b|--list|\s-f\b|--file|--version|--help))", "loads a dump into a database"),
    ("mongorestore|mysqlimport", r"", "loads a dump into a database"),
    ("pg_ctl|pg_ctlcluster", r"\b(?:stop|promote)\b", "stops or promotes a database server"),
    ("patronictl|repmgr", r"\b(?:failover|switchover|reinit|remove|promote)\b", "moves the primary"),
    ("pgbackrest|barman|wal-g|restic|velero|borg|etcdctl|duplicity|kopia|rclone|influx", r"\b(?:restore|recover|backup-fetch|extract|stanza-delete|purge|forget)\b", "restores over live data or removes backups"),
    ("redis-cli|valkey-cli|keydb-cli", r"(?i)\b(?:flushall|flushdb|del|unlink|shutdown|failover|replicaof|debug)\b", "deletes keys or stops the server"),
    ("alembic", r"\b(?:upgrade|downgrade|stamp)\b", "migrates the schema"),
    ("flyway|liquibase", r"\b(?:migrate|clean|update|undo|rollback|drop-all)\b", "migrates the schema"),
    ("prisma|npx|yarn|pnpm|npm|bun", r"\bmigrate(?:\s+(?:deploy|reset)\b|:(?:latest|up|run|rollback|down|prod\w*|deploy)|\s*$)|\bmigration:(?:run|revert)|\bdb:(?:migrate|push|reset|seed|rollback)|\bdb\s+push|\bmigrate:up", "migrates the schema"),
    ("knex|sequelize|sequelize-cli|typeorm|drizzle-kit|dbmate|goose|migrate|sqlx|diesel|atlas", r"migrat\w*[: ](?:latest|up|run|rollback|undo|down|revert|apply|all)|db:migrate|^(?:dbmate|goose|migrate)\s.*\b(?:up|down|rollback|drop|force)\b", "migrates the schema"),
    ("rails|rake|bin/rails|mix|artisan|php|flask|python3?|manage.py|django-admin|dotnet", r"\bdb:(?:migrate|rollback|drop|reset|seed)|ecto\.(?:migrate|rollback|drop)|artisan\s+migrate(?!:status)|\bdb\s+(?:upgrade|downgrade)\b|(?:manage\.py|django-admin)\s+(?:migrate(?!.*--(?:plan|check))|flush|reset_db)\b|ef\s+database\s+(?:update|drop)", "migrates the schema"),
    ("terraform|tofu|terragrunt|pulumi|cdk|cdktf", r"\b(?:apply|destroy|up|deploy|taint|state\s+rm)\b", "changes or destroys infrastructure"),
    ("git", r"\breset\s+--hard|\bclean\s+-\w*f|\bpush\s.*(?:--force\b|-f\b)|\bcheckout\s+(?!-b\b)\S+\s+(?:--\s+)?\S+", "overwrites files"),
    ("aws", r"\b(?:delete-[\w-]+|terminate-[\w-]+|stop-[\w-]+|s3\s+(?:rm|rb)|failover-[\w-]+|reboot-[\w-]+)\b|\bs3\s+sync\b.*--delete|--desired-count\s+0\b|\bupdate-service\b.*--task-definition", "deletes or stops cloud resources"),
    ("gcloud|az|doctl|gsutil|mc|s3cmd|b2|hcloud|linode-cli|heroku|flyctl|fly", r"\b(?:delete|rm|rb|stop|destroy|del|rollback|releases:rollback|pg:reset)\b", "deletes or stops cloud resources"),
    ("rabbitmqctl|rabbitmqadmin", r"\b(?:purge_queue|delete_\w+|delete|purge|reset|force_reset|stop_app|stop|close_\w+)\b", "purges queues or stops the broker"),
    ("celery", r"\b(?:purge|revoke|terminate|shutdown)\b", "drops tasks"),
    (r"kafka-[\w-]+(?:\.sh)?|nats|kcat", r"(?:--delete\b|--reset-offsets.*--execute|\bpurge\b|\bstream\s+(?:rm|delete)\b|consumer\s+(?:rm|delete))", "deletes messages"),
    ("iptables|nft", r"\s-F\b|flush", "drops firewall rules"),
    ("crontab", r"\s-r\b", "removes the crontab"),
    ("userdel|deluser|groupdel", r"", "removes a user"),
    ("ip|ifdown|ifconfig", r"\blink\s+set\s.*\bdown\b|^ifdown|\bdown$", "takes an interface down"),
    ("nomad|consul", r"\b(?:job\s+stop|stop|node\s+drain|leave|system\s+gc|snapshot\s+restore)\b", "stops jobs"),
    ("mysqladmin", r"\b(?:shutdown|drop|kill)\b", "stops the server or drops a database"),
    ("swarm|talosctl", r"\b(?:reset|reboot|shutdown|upgrade|rollback)\b", "takes a node down"),
)  # fmt: skip
_COMPILED = tuple((re.compile(rf"(?:{program})$"), re.compile(pattern), why) for program, pattern, why in _RULES)

_SCRIPT = re.compile(r"(?:^|[/_.-])(?:restore|rollback|roll-back|deploy|redeploy|wipe|reset|purge|drop|destroy|teardown|tear-down|failover|switchover|shutdown|stop|cleanup|clean-up|uninstall|recover|migrate)(?=[_.-]|$)", re.I)
_SCRIPT_HARMLESS = re.compile(r"check|verify|status|test|list|dry|backup|monitor|health|validate|plan", re.I)
_LOADERS = ("psql", "mysql", "mariadb", "sqlite3", "clickhouse-client", "sqlcmd")
_DUMP = re.compile(r"\.(?:sql|dump|gz|bak|backup|zst|bz2|xz|sqlc|tar)\b|backup|dump|BACKUP|DUMP|latest")

_SQL: tuple[tuple[str, str], ...] = (
    (r"delete\s+from\b|delete\s+\w+\s+from\b", "deletes rows"),
    (r"truncate\b", "empties a table"),
    (r"drop\s+(?:table|database|schema|user|role|owned|view|materialized|extension|column|tablespace|publication|subscription|function|partition)\b", "drops objects"),
    (r"update\s+(?:only\s+)?\S+(?:\s+as\s+\w+|\s+\w+)?\s+set\b", "overwrites rows"),
    (r"alter\s+table\b.*\b(?:drop|alter\s+column\b.*\btype|rename)\b", "changes a table"),
    (r"alter\s+(?:user|role)\b.*\b(?:password|nologin|identified)\b", "changes a live password"),
    (r"set\s+password\b", "changes a live password"),
    (r"alter\s+database\b.*\b(?:rename|allow_connections|set\s+single_user)\b", "cuts a database off"),
    (r"vacuum\s+(?:\(?\s*full|\([^)]*full)", "locks every table it rewrites"),
    (r"kill\s+(?:query\s+|connection\s+)?\d", "ends sessions"),
    (r"merge\s+into\b|replace\s+into\b|load\s+data\b", "overwrites rows"),
)  # fmt: skip
_SQL_COMPILED = tuple((re.compile(pattern, re.I | re.S), why) for pattern, why in _SQL)
_SQL_CALLS = re.compile(r"\b(pg_terminate_backend|pg_cancel_backend|pg_drop_replication_slot|pg_promote|drop_chunks|pg_switch_wal_stop)\s*\(", re.I)

_PROSE = re.compile(
    r"^\W*(?:restore|delete|drop|wipe|purge|truncate|destroy|overwrite|format|erase|terminate|shut ?down|fail ?over|tear down|"
    r"restaura[r]?|elimina[r]?|borra[r]?|apaga[r]?|excluir|wiederherstellen|löschen|stoppen|herunterfahren|восстановить|удалить|очистить|остановить)\b"
    r"|^\W*(?:恢复|删除|清空|清除|停止|回滚|復元|削除|복구|삭제)|(?:löschen|wiederherstellen|stoppen)\W*$",
    re.I,
)


def why_destructive(command: Command, before: Sequence[Command] = ()) -> str:
    """Why a command, or one it runs, is destructive; empty where it is not. `before` are the earlier ones of its pipeline."""
    for each in command.walk():
        reason = _why(each, before)
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
    if program in ("bash", "sh", "python", "python3", "make", "npm", "yarn", "node", "ruby", "just", "task") and not command.nested:
        script = next((word for word in command.words[1:] if not word.startswith("-") and word not in ("run", "exec")), "")
        return _by_name(script.rsplit("/", 1)[-1]) if not command.embedded else ""
    return ""


def _by_name(script: str) -> str:
    return f"runs {script}" if _SCRIPT.search(script) and not _SCRIPT_HARMLESS.search(script) else ""


def _loads(command: Command, before: Sequence[Command]) -> str:
    if any(redirect.operator == "<" for redirect in command.redirects):
        return "loads a dump into a database"
    words = command.words
    for flag, word in zip(words, words[1:], strict=False):
        if flag in ("-f", "--file") and re.search(r"backup|dump|restore|latest|snapshot", word, re.I):
            return "loads a dump into a database"
    if before and before[-1].program in ("gunzip", "zcat", "cat", "gzip", "bzcat", "xzcat", "zstd", "zstdcat", "pg_restore", "aws", "gpg", "openssl", "sed", "pv", "unzip", "pigz"):
        return "loads a dump into a database" if before[-1].heredoc is None else ""
    return ""


def _makes_secret(command: Command) -> bool:
    return command.program in ("kubectl", "oc") and "create" in command.words and bool({"secret", "configmap", "cm"} & set(command.words))


def _unpacks(program: str, words: Sequence[str]) -> str:
    """Files put back from a backup overwrite the live ones."""
    if program == "tar":
        extracts = len(words) > 1 and (re.match(r"-?[a-zA-Z]*x", words[1]) or "--extract" in words)
        return "overwrites files from an archive" if extracts and any(re.search(r"backup|restore", w, re.I) or w == "/" for w in words[2:]) else ""
    if program == "gunzip":
        return ""
    operands = [word for word in words[1:] if not word.startswith("-")]
    if len(operands) >= 2 and re.search(r"backup|\.bak\b|restore", operands[-2], re.I) and not re.search(r"backup|restore|/tmp|\.bak\b|s3:", operands[-1], re.I):
        return "overwrites files from a backup"
    return ""


def sql_destructive(text: str) -> str:
    """Why a statement in a text of SQL is destructive; empty where none is."""
    plain = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.S)
    bare = re.sub(r"'(?:[^']|'')*'", "''", plain)
    if (call := _SQL_CALLS.search(bare)) is not None:
        return "ends sessions" if call[1].lower() in ("pg_terminate_backend", "pg_cancel_backend") else f"calls {call[1].lower()}"
    for statement in bare.split(";"):
        body = re.sub(r"^\s*(?:begin\b|with\b.*?\)\s*(?=(?:delete|update)\b)|explain\s+analyze\s+)", "", statement.strip(), flags=re.I | re.S).strip()
        for pattern, why in _SQL_COMPILED:
            if pattern.match(body):
                return why
    return ""


def prose_destructive(text: str) -> str:
    """Why a step that a person does is destructive, by the verb that opens it."""
    match = _PROSE.search(text.strip())
    return f"says to {match[0].strip().lower()}" if match else ""
