"""Programs that read their words or their input as code, as tables."""

from __future__ import annotations

import re

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "rbash"})
INTERPRETERS = frozenset(
    {"python", "python2", "python3", "perl", "ruby", "node", "nodejs", "php", "lua", "Rscript", "deno"}
)
CLIENTS = frozenset(
    {"psql", "mysql", "mariadb", "sqlite3", "mongosh", "mongo", "redis-cli", "duckdb", "cqlsh", "sqlcmd"}
)
CODE_OPTIONS = re.compile(r"-[A-Za-z]*[ceEr]|--(?:command|execute|eval|print|exec)")
"""Options of shells, interpreters and clients whose value is code."""
OPTIONS_WITH_WORD = frozenset({"-o", "+o", "-O", "+O", "-m", "-W", "-X", "-M", "-I", "--rcfile", "--init-file"})
"""Options of shells and interpreters that take the word after them."""
CODE_OPTION_WITH_VALUE = re.compile(r"--(?:command|execute|eval|exec)=")
READS_AGAIN = frozenset(
    [
        "eval",
        "trap",
        "ssh",
        "autossh",
        "mosh",
        "rsh",
        "watch",
        "parallel",
        "at",
        "batch",
        "crontab",
        "let",
        "unset",
        "read",
        "mapfile",
        "readarray",
        "getopts",
        "alias",
        "source",
        ".",
        "expect",
        "tclsh",
        "tmux",
        "screen",
        "complete",
        "compgen",
        "bind",
        "enable",
        "bc",
        "dc",
        "gdb",
        "m4",
        "make",
    ]
)
"""Commands that read any of their words as code, as names, or send them to a shell elsewhere."""
COMMAND_OPTIONS = {
    "su": ("-c", "--command"), "runuser": ("-c", "--command"), "script": ("-c", "--command"),
    "flock": ("-c", "--command"), "gcloud": ("--command",), "fly": ("-C", "--command"),
    "flyctl": ("-C", "--command"), "vagrant": ("-c", "--command"),
    "env": ("-S", "--split-string"), "git": ("-c",), "tar": ("--to-command", "-I", "--use-compress-program"),
    "rsync": ("-e", "--rsh"), "xargs": ("-I", "-i"), "find": (), "docker": ("--entrypoint",),
}  # fmt: skip
PROGRAM_FIRST = {
    "awk": ("-v", "-F", "-f"), "gawk": ("-v", "-F", "-f"), "mawk": ("-v", "-F", "-f"), "sed": ("-f", "-l"),
    "jq": ("--arg", "--argjson", "--slurpfile", "--rawfile", "--indent"), "yq": (), "expr": (),
}  # fmt: skip
"""Commands whose first operand is a program of their own, with their options that take a value."""
PREFIXES = {
    "sudo": 0, "doas": 0, "env": 0, "nohup": 0, "time": 0, "setsid": 0, "exec": 0, "command": 0, "builtin": 0,
    "nice": 0, "ionice": 0, "stdbuf": 0, "xargs": 0, "timeout": 1, "chroot": 1, "chrt": 1, "taskset": 1, "coproc": 0,
    "flock": 1, "gosu": 1, "su-exec": 1,
}  # fmt: skip
"""Commands that run the command which follows, with the number of operands that come before it."""
DECIDES_WHAT_RUNS = frozenset(
    [
        "PATH",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "BASH_ENV",
        "ENV",
        "IFS",
        "PS4",
        "PROMPT_COMMAND",
        "SHELLOPTS",
        "BASHOPTS",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PERL5LIB",
        "PERL5OPT",
        "RUBYOPT",
        "NODE_OPTIONS",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "PAGER",
        "EDITOR",
        "VISUAL",
        "PSQLRC",
    ]
)
DECLARES = frozenset({"declare", "typeset", "local", "export", "readonly"})
READS_ASSIGNED = frozenset("inaA")
"""Options with which they read what is assigned: as arithmetic, as a name, as the words of an array."""
CALCULATED = frozenset(
    """
    SECONDS RANDOM SRANDOM LINENO OPTIND HISTCMD EPOCHSECONDS EPOCHREALTIME BASHPID BASH_ARGV0 BASH_SUBSHELL PPID UID
    EUID FUNCNEST COLUMNS LINES TMOUT
    """.split()  # noqa: SIM905
)
"""Variables that bash makes numbers, so that it calculates with what is assigned to them."""
COUNTS_ITS_WORDS = (
    SHELLS | INTERPRETERS | CLIENTS | READS_AGAIN | frozenset(PROGRAM_FIRST) | frozenset(COMMAND_OPTIONS)
    | frozenset(PREFIXES) | DECLARES | frozenset({"printf", "test", "["})
)  # fmt: skip
"""Commands to which a word is code or data by its position."""
TAKES_ANY_WORD = frozenset({"echo", "printf", "test", "[", ":", "true", "false"})
"""Builtins that take no word for an option (or none that matters)."""
