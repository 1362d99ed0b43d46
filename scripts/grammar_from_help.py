"""Write the grammars of command-line tools, `opsbook/manual/grammar/tools/*.json`, from the tools' own help.

    python scripts/grammar_from_help.py [TOOL ...]

A grammar says which verbs a tool has and which flags each verb takes: 0 without a value, 1 with one, 2 with an
optional one. What help does not tell (dangers, verbs that are gone, tools that are not installed) stands beside it in
hand-written YAML. Tools that are not installed keep the grammar they have.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "src/opsbook/manual/grammar/tools"
Flags = dict[str, int]

OPTION = re.compile(r"^ {1,10}\*?(?P<names>-{1,2}[\w?][\w.\-]*(?:[ ,|/]+ ?-{1,2}\[?[\w?][\w.\-\]]*)*)(?P<rest>.*)$")
VALUE = re.compile(r"^(?:=|\[=|[ ]<|[ ][A-Z]{2,}|[ ]'|[ ](?:string|int|list|strings|duration|bytes|uint\w*|float\w*|"
                   r"decimal|stringArray|stringToString|filter|mount|network|ulimit|map|node-\w+|pref|credential-spec|"
                   r"gpu-request|external|command|access|port|secret|config|host)\b)")  # fmt: skip
KUBE_OPTION = re.compile(r"^ {4}(?:(-\w), )?(--[\w\-]+)=(.*):$")


def ask(*argv: str) -> str:
    """What a tool prints, on either stream, without overstrikes."""
    run = subprocess.run(argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    return re.sub(r".\x08", "", run.stdout + run.stderr)


def options(text: str) -> Flags:
    """The flags in GNU, cobra, click or curl style help."""
    flags: Flags = {}
    for line in text.splitlines():
        found = OPTION.match(line)
        if not found:
            continue
        rest = found["rest"]
        takes = (2 if rest.startswith("[=") else 1) if VALUE.match(rest) else 0
        for name in re.findall(r"-{1,2}(?:\[no-\])?[\w?][\w.\-]*", found["names"]):
            if "[no-]" in name:
                flags[name.replace("[no-]", "no-")] = 0
                name = name.replace("[no-]", "")
            flags[name] = takes
    return flags


def kube_options(text: str) -> Flags:
    """The flags in kubectl's help: a default of true or false means that no value is needed."""
    flags: Flags = {}
    for line in text.splitlines():
        if found := KUBE_OPTION.match(line):
            takes = 2 if found[3] in ("true", "false") else 1
            if found[2] in ("--dry-run", "--cascade", "--validate"):
                takes = 2
            flags |= {name: takes for name in found.group(1, 2) if name}
    return flags


def kubectl() -> dict[str, Any]:
    """kubectl with the verbs of each group."""
    top = ask("kubectl", "--help")
    verbs: dict[str, Flags] = {}
    for name in re.findall(r"^  ([a-z][\w\-]+) {2,}", top, re.M):
        if name == "options":
            continue
        text = ask("kubectl", name, "--help")
        verbs[name] = kube_options(text)
        if "Available Commands:" in text:
            block = text.split("Available Commands:")[1].split("\n\n")[0]
            for sub in re.findall(r"^  ([a-z][\w\-]+) {2,}", block, re.M):
                verbs[f"{name} {sub}"] = kube_options(ask("kubectl", name, sub, "--help"))
    create_secret = {f"create secret {kind}" for kind in ("generic", "tls", "docker-registry")}
    for name in (*create_secret, "create service clusterip", "create service nodeport"):
        verbs[name] = kube_options(ask("kubectl", *name.split(), "--help"))
    version = re.search(r"v(\d+\.\d+)", ask("kubectl", "version", "--client"))
    flags = kube_options(ask("kubectl", "options")) | {"-h": 0, "--help": 0, "-v": 1}
    return {"version": version[1] if version else "", "open": True, "global": flags, "verbs": verbs}


def docker() -> dict[str, Any]:
    """docker with its management groups; plugins are open."""
    top = ask("docker", "--help")
    verbs: dict[str, Flags] = {}
    for name in re.findall(r"^  ([a-z]+)\*? {2,}", top, re.M):
        text = ask("docker", name, "--help")
        verbs[name] = options(text)
        if "\nCommands:" in text:
            for sub in re.findall(r"^  ([a-z\-]+) {2,}", text.split("\nCommands:")[1], re.M):
                verbs[f"{name} {sub}"] = options(ask("docker", name, sub, "--help"))
    version = re.search(r"(\d+\.\d+)", ask("docker", "--version"))
    return {"version": version[1] if version else "", "open": True, "global": options(top), "verbs": verbs}


def flat(tool: str, *argv: str) -> Callable[[], dict[str, Any]]:
    """A tool without verbs."""

    def read() -> dict[str, Any]:
        version = re.search(r"(\d+\.\d+)", ask(tool, "--version"))
        return {"version": version[1] if version else "", "global": options(ask(tool, *argv)), "verbs": {}}

    return read


def with_verbs(tool: str, verb: str, help_flag: str, *, listing: str = "--help") -> Callable[[], dict[str, Any]]:
    """A tool whose help lists verbs that have help of their own."""

    def read() -> dict[str, Any]:
        top = ask(tool, listing)
        names = list(dict.fromkeys(re.findall(verb, top, re.M)))
        verbs = {name: options(ask(tool, name, help_flag)) for name in names}
        version = re.search(r"(\d+\.\d+)", ask(tool, "--version"))
        return {"version": version[1] if version else "", "global": options(top), "verbs": verbs}

    return read


def systemctl() -> dict[str, Any]:
    """systemctl: one set of flags for all verbs."""
    top = ask("systemctl", "--help")
    verbs = {name: {} for name in re.findall(r"^  ([a-z][\w\-]+)(?: [A-Z\[.|<].*)?(?:  .*)?$", top, re.M)}
    return {"version": "", "global": options(top), "verbs": verbs}


def celery() -> dict[str, Any]:
    """celery, whose groups inspect and control take methods of the workers."""
    found = with_verbs("celery", r"^  ([a-z]+) {2,}", "--help")()
    for group, listing in (("inspect", "--list"), ("control", "--list")):
        for name in re.findall(r"^ {1,4}([a-z_]+)(?: |$)", ask("celery", group, listing), re.M):
            found["verbs"][f"{group} {name}"] = found["verbs"][group]
    return found


def git() -> dict[str, Any]:
    """git's verbs; their flags are many and are not checked."""
    names = ask("git", "--list-cmds=main,nohelpers").split()
    return {"version": "", "open": True, "global": {}, "verbs": dict.fromkeys(sorted(set(names)))}


def npm() -> dict[str, Any]:
    """npm's verbs; every configuration key is a flag, so flags are not checked."""
    text = ask("npm", "help").split("All commands:")[1].split("Specify")[0]
    return {"version": "", "global": {}, "verbs": dict.fromkeys(re.findall(r"[a-z][\w\-]+", text))}


def openssl() -> dict[str, Any]:
    """openssl's verbs with their flags, which carry one dash."""
    names = ask("openssl", "list", "-commands").split()
    verbs = {}
    for name in names:
        flags: Flags = {}
        for found in re.finditer(r"^ (-(?:[\w\-]+|\*))(?:\.\.\.)?( \S+)?  ", ask("openssl", name, "-help"), re.M):
            flags[found[1]] = 1 if found[2] else 0
        verbs[name] = flags
    return {"version": version_of_openssl(), "open": True, "global": {}, "names": algorithms(), "verbs": verbs}


def algorithms() -> list[str]:
    """The digests and ciphers that stand as flags of their own where a verb lists `-*`, aliases included."""
    kinds = ("-digest-algorithms", "-cipher-algorithms", "-digest-commands", "-cipher-commands")
    text = " ".join(ask("openssl", "list", kind, "-provider", "default", "-provider", "legacy") for kind in kinds)
    words = set(re.findall(r"(?<![\w.-])[A-Za-z][\w-]+(?![\w.])", text))
    return sorted({f"-{word.lower()}" for word in words} - {"-legacy", "-provided", "-default"})


def version_of_openssl() -> str:
    """The two first numbers of openssl's version."""
    found = re.search(r"(\d+\.\d+)", ask("openssl", "version"))
    return found[1] if found else ""


def aws_s3() -> dict[str, Any]:
    """The high-level S3 verbs of the AWS CLI."""
    verbs: dict[str, Flags] = {}
    for name in ("cp", "mv", "rm", "sync", "ls", "mb", "rb", "presign", "website"):
        text = ask("aws", "s3", name, "help")
        flags: Flags = {}
        for entry in re.findall(r"\[(--[^\]]*(?:\[[^\]]*\])?[^\]]*)\]", text.split("OPTIONS")[0]):
            for part in entry.split("|"):
                words = part.split()
                flags[words[0]] = 1 if "<" in part else 0
        verbs[f"s3 {name}"] = flags
    return {"version": "", "open": True, "global": AWS_GLOBAL, "verbs": verbs}


AWS_SERVICES = [
    "acm",
    "autoscaling",
    "backup",
    "cloudformation",
    "cloudwatch",
    "dynamodb",
    "ec2",
    "ecr",
    "ecs",
    "efs",
    "eks",
    "elasticache",
    "elbv2",
    "events",
    "iam",
    "kms",
    "lambda",
    "logs",
    "rds",
    "route53",
    "s3api",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
    "sts",
]
# The options of every command, those that only the second major version has included.
AWS_GLOBAL: Flags = (
    dict.fromkeys(
        [
            "--endpoint-url",
            "--output",
            "--query",
            "--profile",
            "--region",
            "--color",
            "--ca-bundle",
            "--cli-read-timeout",
            "--cli-connect-timeout",
            "--cli-binary-format",
            "--cli-input-json",
            "--cli-input-yaml",
        ],
        1,
    )
    | dict.fromkeys(
        [
            "--debug",
            "--v2-debug",
            "--no-verify-ssl",
            "--no-paginate",
            "--no-sign-request",
            "--version",
            "--no-cli-pager",
            "--cli-auto-prompt",
            "--no-cli-auto-prompt",
        ],
        0,
    )
    | {"--generate-cli-skeleton": 2}
)
AWS_ASK = """
import json, sys
from awscli.clidriver import create_clidriver
services = create_clidriver()._get_command_table()

def table(command):
    return {f"--{name}": 0 if argument.cli_type_name == "boolean" else 1
            for name, argument in (getattr(command, "arg_table", None) or {}).items()
            if not getattr(argument, "positional_arg", False)}

found = {}
for service in sys.argv[1:]:
    for name, command in services[service]._get_command_table().items():
        if name == "wait":
            found |= {f"{service} wait {waiter}": table(inner) for waiter, inner in command.subcommand_table.items()}
        else:
            found[f"{service} {name}"] = table(command)
print(json.dumps(found))
"""
# EC2 has 700 verbs, most of which no manual of operations speaks of.
EC2 = re.compile(
    r"-(?:instances?|volumes?|snapshots?|images?|security-groups?|address(?:es)?|tags|instance-status|subnets|vpcs)$"
)


def aws() -> dict[str, Any]:
    """The AWS CLI: its S3 verbs from their help, other services from the tables its own parser is built of."""
    found = aws_s3()
    python = re.sub(r"^#!", "", Path(shutil.which("aws") or "").read_text().splitlines()[0])
    for name, flags in json.loads(ask(python, "-c", AWS_ASK, *AWS_SERVICES)).items():
        if not name.startswith("ec2 ") or EC2.search(name) or " wait " in name:
            found["verbs"][name] = {flag: takes for flag, takes in flags.items() if flag not in found["global"]}
    return found


def certbot() -> dict[str, Any]:
    """certbot: one set of flags for all verbs."""
    text = ask("env", "COLUMNS=200", "certbot", "--help", "all")
    return {"version": version_of("certbot"), "global": options(text) | argparse_options(text), "verbs": {}}


def rsync() -> dict[str, Any]:
    """rsync's options, each of which may be turned off again by --no-."""
    flags: Flags = {}
    for line in ask("rsync", "--help").splitlines():
        if found := re.match(r"(--[\w\-]+)?(=\S+)?(?:, )?((?:-\w(?:, )?)*) {2,}\S", line):
            takes = 1 if found[2] else 0
            names = [name for name in (found[1], *(found[3] or "").split(", ")) if name]
            flags |= dict.fromkeys(names, takes) | {f"--no-{n[2:]}": 0 for n in names if n.startswith("--")}
    return {"version": version_of("rsync"), "global": flags, "verbs": {}}


def gpg() -> dict[str, Any]:
    """gpg's options without their values, which its help tells of only a part."""
    flags = dict.fromkeys(ask("gpg", "--dump-options").split(), 0) | options(ask("gpg", "--help"))
    return {"version": version_of("gpg"), "global": flags, "verbs": {}}


def argparse_options(text: str) -> Flags:
    """The flags in argparse's help, where several names share a line and each repeats its value."""
    flags: Flags = {}
    for line in text.splitlines():
        if not re.match(r"^ {2,6}-", line):
            continue
        head = re.split(r" {2,}", line.strip(), maxsplit=1)[0]
        for part in head.split(", "):
            name, _, value = part.partition(" ")
            if re.fullmatch(r"--?[\w\-]+", name):
                flags[name] = 2 if value.startswith("[") else 1 if value else 0
    return flags


def flat_argparse(tool: str) -> Callable[[], dict[str, Any]]:
    """A tool without verbs whose help argparse writes."""

    def read() -> dict[str, Any]:
        return {"version": version_of(tool), "global": argparse_options(ask("env", "COLUMNS=200", tool, "--help"))}

    return lambda: {**read(), "verbs": {}}


DJANGO_SETTINGS = """
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib." + a for a in ("auth", "contenttypes", "sessions", "messages", "staticfiles")]
"""


def django() -> dict[str, Any]:
    """manage.py: the commands of Django and of the applications it comes with; a project adds its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "asked.py").write_text(DJANGO_SETTINGS)
        within = ("env", f"PYTHONPATH={folder}", "DJANGO_SETTINGS_MODULE=asked", "COLUMNS=200", "django-admin")
        verbs = {
            name: argparse_options(ask(*within, name, "--help")) for name in ask(*within, "help", "--commands").split()
        }
    return {"version": version_of("django-admin"), "open": True, "global": {}, "verbs": verbs}


def version_of(tool: str) -> str:
    """The two first numbers of a tool's version."""
    found = re.search(r"(\d+\.\d+)", ask(tool, "--version"))
    return found[1] if found else ""


def pflag_options(text: str) -> Flags:
    """The flags in the help of Go's pflag: the word behind a flag is its value's kind."""
    found = re.findall(r"^ {2,6}(?:(-\w), )?(--[\w\-]+)( \S+)? {2,}\S", text, re.M)
    return {name: 1 if value else 0 for short, long, value in found for name in (short, long) if name}


def restic() -> dict[str, Any]:
    """restic with its groups."""
    verbs: dict[str, Flags] = {}
    top = ask("restic", "--help")
    for name in re.findall(r"^  ([a-z\-]+) {2,}", top, re.M):
        verbs[name] = pflag_options(ask("restic", name, "--help")) | {"-v": 0, "--verbose": 2}
    return {"version": "", "global": pflag_options(top) | {"-v": 0, "--verbose": 2}, "verbs": verbs}


def borg() -> dict[str, Any]:
    """borg's verbs."""
    names = re.findall(r"^ {4}([a-z\-]+) {2,}", ask("borg", "--help"), re.M)
    verbs = {name: argparse_options(ask("env", "COLUMNS=200", "borg", name, "--help")) for name in names}
    return {"version": version_of("borg"), "global": argparse_options(ask("borg", "--help")), "verbs": verbs}


def redis() -> dict[str, Any]:
    """Every command of a real server, from COMMAND DOCS, with arity and flags from COMMAND."""
    server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", "/tmp/grammar.sock", "--save", ""],
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert server.stdout
    next(line for line in server.stdout if "accept connections" in line or "The server is now ready" in line)
    cli = ("redis-cli", "-s", "/tmp/grammar.sock", "--json")
    try:
        docs, table = json.loads(ask(*cli, "COMMAND", "DOCS")), json.loads(ask(*cli, "COMMAND"))
    finally:
        server.terminate()
        server.wait()
    commands: dict[str, Any] = {}
    for row in _with_subcommands(table):
        name, arity, flags = row[0], row[1], row[2]
        parent, _, _sub = name.partition("|")
        doc = docs[parent] if "|" not in name else docs[parent]["subcommands"][name]
        kept = [flag for flag in flags if flag in ("write", "blocking", "admin", "dangerous")]
        categories = [c.removeprefix("@") for c in row[6] if c in ("@dangerous", "@blocking", "@slow")]
        commands[name.replace("|", " ").upper()] = {
            "arity": arity, "since": doc["since"], "is": sorted({*kept, *categories}),
            **({"deprecated": doc["deprecated_since"]} if "deprecated_since" in doc else {}),
            **({"instead": doc["replaced_by"]} if "replaced_by" in doc else {}),
        }  # fmt: skip
    version = re.search(r"v=(\d+\.\d+)", ask("redis-server", "--version"))
    cli_flags = options(ask("redis-cli", "--help"))
    return {"version": version[1] if version else "", "global": cli_flags, "verbs": {}, "commands": commands}


def _with_subcommands(table: list[Any]) -> Iterator[Any]:
    for row in table:
        yield row
        yield from row[9] if len(row) > 9 else []


TOOLS: dict[str, Callable[[], dict[str, Any]]] = {
    "kubectl": kubectl,
    "docker": docker,
    "curl": flat("curl", "--help", "all"),
    "tar": flat("tar", "--help"),
    "journalctl": flat("journalctl", "--help"),
    "systemctl": systemctl,
    "celery": celery,
    "alembic": with_verbs("alembic", r"^    ([a-z_]+) {2,}", "--help"),
    "terraform": with_verbs("terraform", r"^  ([a-z]+) {2,}", "-help", listing="-help"),
    "git": git,
    "npm": npm,
    "openssl": openssl,
    "aws": aws,
    "certbot": certbot,
    "gpg": gpg,
    "rsync": rsync,
    "restic": restic,
    "ansible": flat_argparse("ansible"),
    "ansible-playbook": flat_argparse("ansible-playbook"),
    "borg": borg,
    "django-admin": django,
    "redis-cli": redis,
    **{
        name: flat(name, "--help")
        for name in (
            "psql",
            "pg_dump",
            "pg_dumpall",
            "pg_restore",
            "pg_basebackup",
            "pg_isready",
            "pg_ctl",
            "pgbench",
            "createdb",
            "dropdb",
            "vacuumdb",
            "reindexdb",
            "pg_verifybackup",
            "pg_rewind",
        )
    },
}


def main() -> None:
    """Write the grammar of the tools that are named, or of all that are installed."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for tool in sys.argv[1:] or TOOLS:
        if not shutil.which(tool):
            print(f"{tool}: not installed, left as it is")
            continue
        grammar = {"tool": tool, **TOOLS[tool]()}
        path = TARGET / f"{tool}.json"
        path.write_text(json.dumps(grammar, separators=(",", ":"), sort_keys=True) + "\n")
        print(f"{path.name}: {len(grammar['verbs'])} verbs, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
