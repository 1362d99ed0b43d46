"""Commands that only look, as a table: what is said of a shell step's risk rests on it and on the table of dangers.

A program that is in neither is taken for what a shell step is taken for: destructive.
"""

from __future__ import annotations

import re

from opsbook.manual.danger import why_destructive
from opsbook.manual.shell import Command

LOOKS = frozenset(
    [
        "arp",
        "awk",
        "basename",
        "cat",
        "cmp",
        "column",
        "cut",
        "date",
        "df",
        "dig",
        "dirname",
        "dmesg",
        "du",
        "egrep",
        "env",
        "fgrep",
        "file",
        "free",
        "getent",
        "grep",
        "head",
        "host",
        "hostname",
        "id",
        "ifconfig",
        "iostat",
        "jq",
        "last",
        "ls",
        "lsblk",
        "lscpu",
        "lsof",
        "md5sum",
        "mpstat",
        "netstat",
        "nproc",
        "nslookup",
        "pg_isready",
        "pgrep",
        "ping",
        "printenv",
        "ps",
        "pstree",
        "pwd",
        "readlink",
        "realpath",
        "sha256sum",
        "sort",
        "ss",
        "stat",
        "strings",
        "tac",
        "tail",
        "tr",
        "traceroute",
        "tree",
        "uname",
        "uniq",
        "uptime",
        "vmstat",
        "w",
        "wc",
        "whereis",
        "which",
        "who",
        "whoami",
        "yq",
        "zcat",
        "zgrep",
        "true",
        "false",
        "echo",
        "printf",
        "test",
        "[",
        "sleep",
        "comm",
        "diff",
        "fold",
        "paste",
        "rev",
        "seq",
        "shuf",
        "expr",
    ]
)
"""Programs that change nothing, whatever their words. Those with a switch that writes are below."""

WRITES = (
    (re.compile(r"^awk\b.*\b(?:system\(|print\s*>)"), "awk"),
    (re.compile(r"^sort\b.*\s(?:-o|--output)\b"), "sort"),
    (re.compile(r"^(?:dmesg)\b.*\s(?:-C|-c|--clear)\b"), "dmesg"),
    (re.compile(r"^(?:ifconfig)\s+\S+\s+\S"), "ifconfig"),
    (re.compile(r"^hostname\s+[^-\s]"), "hostname"),
    (re.compile(r"^date\b.*\s(?:-s|--set)\b"), "date"),
    (re.compile(r"^env\s+.*\w"), "env"),
    (re.compile(r"^yq\b.*\s-i"), "yq"),
)
"""Words with which a program of the table above writes all the same."""

VERBS = (
    (r"kubectl|oc|k", r"(?:get|describe|logs|top|version|api-resources|cluster-info|explain|auth can-i|diff|events|wait)\b"  # noqa: E501
                      r"|rollout (?:status|history)\b|config (?:view|get-contexts|current-context)\b"),
    (r"docker|podman|nerdctl", r"(?:ps|images|logs|inspect|stats|top|info|version|port|diff|events)\b"
                               r"|(?:container|image|volume|network|system|service|node|stack|compose) "
                               r"(?:ls|ps|inspect|logs|df|images|top|config|version|events|port)\b"),
    (r"docker-compose", r"(?:ps|logs|images|top|config|version|events|port)\b"),
    (r"systemctl", r"(?:status|is-active|is-enabled|is-failed|list-\S+|show|cat)\b"),
    (r"service", r"\S+ status\b"), (r"journalctl", r"(?!.*--(?:vacuum|rotate|flush))"),
    (r"supervisorctl", r"(?:status|tail|avail|pid)\b"), (r"pm2", r"(?:list|ls|status|show|logs|info)\b"),
    (r"git", r"(?:status|log|diff|show|rev-parse|ls-\S+|describe|blame|fetch|remote -v)\b"),
    (r"helm", r"(?:list|ls|status|history|get|show|template|lint|search|version)\b"),
    (r"terraform|tofu", r"(?:plan|show|output|validate|version|state (?:list|show)|fmt -check|providers)\b"),
    (r"aws", r"\S+ (?:describe-|list-|get-|head-)\S+|s3 ls\b|sts get-caller-identity\b"),
    (r"gcloud", r".*\b(?:list|describe)\b"), (r"az", r".*\b(?:list|show)\b"),
    (r"redis-cli|valkey-cli", r"(?:-\S+ +\S+ +)*(?:ping|info|dbsize|config get|client list|slowlog (?:get|len)|memory "
                              r"(?:stats|doctor|usage)|lastsave|llen|ttl|type|get|exists|scard|zcard|hlen|lrange|latency \S+|"  # noqa: E501
                              r"keys|--scan|--bigkeys|--memkeys|--latency\S*|--stat)\b"),
    (r"celery", r".*\b(?:inspect (?:ping|active|reserved|scheduled|stats|registered|active_queues|report|conf)|status|report)\b"),  # noqa: E501
    (r"alembic", r"(?:current|history|heads|show|branches|check)\b"),
    (r"openssl", r"(?:s_client|verify|version|x509 (?!.*-(?:req|signkey|CA|out)\b))"),
    (r"certbot", r"certificates\b"), (r"promtool|amtool", r"(?:check|query|alert(?: query)?|silence query|config show)\b"),  # noqa: E501
    (r"pip|pip3", r"(?:list|show|check|freeze|--version)\b"), (r"npm|yarn|pnpm", r"(?:ls|list|audit(?! fix)|outdated|view)\b"),  # noqa: E501
    (r"rabbitmqctl|rabbitmq-diagnostics", r"(?:status|list_\S+|ping|check_\S+|cluster_status|node_health_check)\b"),
    (r"pg_restore", r".*(?:--list|\s-l\b)"), (r"nginx", r"-[tTvV]\b"), (r"crontab", r"-l\b"), (r"tar", r"-?t[a-z]*\b"),
    (r"unzip", r"-[lt]\b"), (r"gunzip|gzip|zstd|bzip2|xz", r"(?:-\w*[tl]|--test|--list)\b"), (r"find", r"(?!.*-(?:delete|exec|ok|fprint))"),  # noqa: E501
    (r"sed", r"(?!(?:.*\s)?-[a-zA-Z]*i)(?!.*--in-place)"), (r"top|htop", r".*-b"), (r"ip", r"(?:addr|a|route|r|link|neigh)(?: show| list|$)"),  # noqa: E501
    (r"ufw|firewall-cmd", r"(?:status|--list\S*|--state)\b"), (r"fail2ban-client", r"status\b"), (r"ntpq|chronyc|timedatectl", r"(?:-p|tracking|sources|status|$)"),  # noqa: E501
    (r"pgbackrest|barman", r".*\b(?:info|check|list-\S+|show-\S+)\b"), (r"restic|borg", r".*\b(?:snapshots|check|list|info|stats)\b"),  # noqa: E501
    (r"pm2", r"(?:list|status|logs)\b"), (r"sqlite3", r".*(?:integrity_check|\.tables|\.schema)"), (r"nodetool", r"(?:status|info|tpstats|describecluster)\b"),  # noqa: E501
)  # fmt: skip
"""Program → the words with which it only looks."""
_VERBS = tuple((re.compile(rf"(?:{program})$"), re.compile(rf"(?i)(?:{words})")) for program, words in VERBS)
_GLOBAL = re.compile(
    r"^(?:(?:-n|--namespace|--context|-f|--file|-p|--project-name|--profile|--kubeconfig|-h|-p|-a|-u|--region)[= ]\S+ "
    r"|--?[\w-]+(?:=\S+)? )+"
)
_VERBED = frozenset(
    [
        "kubectl",
        "oc",
        "k",
        "docker",
        "docker-compose",
        "podman",
        "helm",
        "aws",
        "systemctl",
        "supervisorctl",
        "redis-cli",
        "valkey-cli",
    ]
)
"""Tools whose options may stand before the verb."""
_WRITING = frozenset({">", ">>", "&>", "&>>", ">|"})


_ADDS = (
    (r"pg_dump|pg_dumpall|mysqldump|mongodump|pg_basebackup|redis-dump", ""), (r"mkdir|touch", ""),
    (r"docker|podman", r"(?:build|push|pull|tag|save)\b|compose (?:build|pull|push)\b"), (r"docker-compose", r"(?:build|pull|push)\b"),  # noqa: E501
    (r"aws", r"s3 cp\b(?=.*\s(?:s3://\S*|\.)\s*$)"), (r"git", r"(?:fetch|clone|tag)\b"), (r"kubectl|oc", r"(?:annotate|label)\b"),  # noqa: E501
    (r"tar", r"-?c\w*\b"), (r"celery", r".*\binspect\b"),
)  # fmt: skip
"""Commands that add something and take nothing away, besides a file of the same name that they are told to write."""
_ADDING = tuple((re.compile(rf"(?:{program})$"), re.compile(words)) for program, words in _ADDS)


def only_adds(command: Command) -> bool:
    """Whether a command makes copies, folders or images and changes nothing that runs."""
    if not command.argv or why_destructive(command):
        return False
    if command.nested:
        return all(only_adds(inner) or only_looks(inner) for inner in command.nested)
    words = " ".join(command.words[1:])
    return any(p.match(command.program) and w.match(words) for p, w in _ADDING)


def only_looks(command: Command) -> bool:
    """Whether a command surely changes nothing: itself, and what it runs."""
    if not command.argv or why_destructive(command):
        return False
    if any(r.operator in _WRITING and not r.target.text.startswith(("/dev/", "&")) for r in command.redirects):
        return False
    if command.nested:
        return all(only_looks(inner) for inner in command.nested) and not any(
            e.language == "sql" for e in command.embedded
        )
    program, words = command.program, " ".join(command.words[1:])
    if program == "psql" and command.embedded and not any(r.operator == "<" for r in command.redirects):
        return all(re.match(r"\s*\\(?:d|l|conninfo|timing|x|echo|z|sf|sv)", one.text) for one in command.embedded)
    if program in ("curl", "wget"):
        return _fetches(program, command.words)
    line = f"{program} {words}"
    if program in LOOKS:
        return not any(pattern.search(line) for pattern, _ in WRITES)
    stripped = _GLOBAL.sub("", words + " ").strip() if program in _VERBED else words
    return any(p.match(program) and (v.match(words) or v.match(stripped)) for p, v in _VERBS)


def _fetches(program: str, words: tuple[str, ...]) -> bool:
    if program == "wget":
        return any(word in ("-qO-", "-O-", "--spider") for word in words)
    for at, word in enumerate(words[1:], 1):
        if word in ("-d", "-F", "-T", "-o", "-O", "--upload-file") or word.startswith(
            ("--data", "--form", "--json", "--output")
        ):
            return words[at + 1 : at + 2] == ("/dev/null",)
        if word in ("-X", "--request") and words[at + 1 : at + 2] and words[at + 1].upper() not in ("GET", "HEAD"):
            return False
        if re.match(r"(?:-X|--request=)(?!GET|HEAD)\w", word):
            return False
    return True
