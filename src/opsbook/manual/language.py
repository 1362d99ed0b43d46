"""What a code block holds: by its tag where that is true, by its content where it is missing or wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from opsbook.manual.tools import COMMANDS, REDIS_DIRECTIVES

# The language of each tag that authors write.
_SPELLINGS = {
    "bash": "sh shell bash zsh ksh fish shellscript cmdline",
    "console": "console shell-session shellsession terminal bash-session sh-session",
    "sql": "sql postgresql postgres psql pgsql plpgsql mysql tsql sqlite",
    "yaml": "yaml yml",
    "json": "json jsonc json5",
    "python": "python py python3",
    "promql": "promql prometheus",
    "dockerfile": "dockerfile docker",
    "ini": "ini properties",
    "toml": "toml",
    "nginx": "nginx nginxconf",
    "hcl": "hcl terraform tf",
    "conf": "conf",
    "crontab": "cron crontab",
    "env": "env dotenv",
    "text": "text txt plain plaintext none",
    "http": "http",
    "javascript": "js javascript",
    "typescript": "ts typescript",
    "powershell": "ps1 pwsh",
    "batch": "bat cmd batch",
    "markdown": "md",
}
_TAGS = {"": "text"} | {tag: language for language, tags in _SPELLINGS.items() for tag in tags.split()}

# Tags that authors put on anything: the content may overrule them.
_OVERRULED = frozenset(
    {"bash", "console", "text", "python", "yaml", "sql", "json", "ini", "conf", "promql", "env", "dockerfile"}
)

_SQL = re.compile(
    r"(?:select\b.+|insert\s+into|update\s+\S+\s+set|delete\s+from|create\s+(?:or\s+replace\s+)?(?:unique\s+|"
    r"temp\w*\s+|materialized\s+)?"
    r"(?:table|user|role|index|database|view|extension|schema|function|trigger|publication|subscription|"
    r"policy|sequence|type)\b|"
    r"alter\s+(?:system|table|user|role|database|index|default|schema|sequence|publication|subscription)\b|"
    r"drop\s+(?:table|user|role|index|database|view|schema|extension|owned|publication|subscription)\b|"
    r"grant\s+.+|revoke\s+.+|vacuum\b.*|analyze\b.*|reindex\s+.+|explain\s+.+|"
    r"with\s+(?:recursive\s+)?\w+\s+as\b|begin\s*;|commit\s*;|rollback\s*;|"
    r"show\s+\w+\s*;|set\s+\w[\w.]*\s*(?:=|to)|copy\s+\S+|truncate\s+(?:table\s+)?\w+|checkpoint\s*;|"
    r"cluster\s+\w+|optimize\s+table|flush\s+\w+|kill\s+(?:query\s+)?\d+|reassign\s+owned|do\s+\$\$|"
    r"refresh\s+materialized)",
    re.I | re.S,
)
_PROMQL = re.compile(
    r"\(*\s*(?:\d+\s*[-*/+]\s*\(*\s*)?(?:(?:rate|irate|increase|sum|avg|max|min|count|topk|bottomk|"
    r"histogram_quantile|predict_linear|absent|delta|deriv|quantile|stddev|changes|resets|label_replace|"
    r"\w+_over_time|time|clamp_\w+)\s*(?:by\s*\([^)]*\)\s*|without\s*\([^)]*\)\s*)?\(|"
    r"[a-zA-Z_:][\w:]*\{[^}]*(?:=|!)~?\"|[a-z][\w:]*(?:_total|_bytes|_seconds|_count|_sum|_bucket|_ratio)\b|"
    r"up\b\s*(?:$|==|\{))"
)
_YAML_LINE = re.compile(r"\s*(?:-\s+.*|(?:-\s+)?(?:[\w./$\"'-]|\{\{)[^:#]{0,80}?:(?:\s.*|$)|[\]}],?|---|\.\.\.)$")
_ASSIGNMENT = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9_]*=(?!.*\$\()")
_PROMPT = re.compile(r"\s*(?:[\w.-]+@[\w.-]+[:\s]?[^\s$#]*|\([\w-]+\)\s*|\[[^\]]+@[^\]]+\])?\s?[$❯%]\s+\S")
_PYTHON = re.compile(
    r"(?:import \w|from [\w.]+ import\b|def \w+\(|class \w+[(:]|async def |@\w+[\w.]*(?:\(|$)|print\(|"
    r"[a-z_]\w*(?:\.\w+)* = \S|with \w+\(.*\) as |for \w+ in .+:$|if .+:$|[A-Z_]{3,} = )"
)
_BOX = re.compile(r"[┌┐└┘├┤│─╔╗╚╝║═▼▲▶◀→]|\+-{3,}\+")
_NGINX = re.compile(
    r"\s*(?:server|location\s.+|upstream\s+\S+|http|events)\s*\{|\s*(?:proxy_pass|listen|server_name|"
    r"ssl_certificate\w*|proxy_set_header)\s+[^;]+;"
)
_CRON = re.compile(
    r"\s*(?:@(?:daily|hourly|weekly|monthly|reboot|midnight)|"
    r"(?:[\d*/,\-A-Za-z]+\s+){4}[\d*/,\-A-Za-z]+)\s+(?:\S+/\S+|\w+)"
)
_CRON_FIELDS = re.compile(r"(?:(?:\*|\d{1,2}|[A-Z]{3})(?:[-/,](?:\*|\d{1,2}|[A-Z]{3}))*\s+){5}")
_HTTP = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE|HEAD)\s+(?:/|https?://)\S*(?:\s+HTTP/[\d.]+)?\s*$")
_HCL = re.compile(r"(?:resource|data|module|variable|output|provider|terraform|locals)\s*(?:\"[^\"]*\"\s*)*\{")
_INI_SECTION = re.compile(r"\[[\w .:\"/-]+\]\s*$")


def guess_language(tag: str, text: str) -> str:
    """The language of a block: bash, console, sql, yaml, json, python, promql, dockerfile, ini, nginx, hcl, env,
    conf, crontab, http, diagram, text, or the tag itself."""
    tag = tag.strip().lower().lstrip("{.").rstrip("}").split(",")[0]
    named = _TAGS.get(tag, tag)
    if named not in _OVERRULED or (named == "text" and tag and tag != "none" and not _BOX.search(text)):
        return named
    sample = text[:20_000]
    shebang = re.match(r"\s*#!\s*\S*?(?:env\s+)?(bash|sh|zsh|python3?|node)\b", sample)
    if shebang:
        return {"python": "python", "python3": "python", "node": "javascript"}.get(shebang[1], "bash")
    lines = [line for line in sample.split("\n") if line.strip()]
    content = [line for line in lines if not re.match(r"\s*(?:#|--\s|//)", line)]
    if not content:
        return "bash" if named == "bash" and lines else named
    if named != "text" and _agrees(named, content, sample):
        return named
    for language, looks in _LOOKS:
        if language != named and looks(content, sample):
            return language
    return named


def _agrees(named: str, content: list[str], sample: str) -> bool:
    """Whether a tag's own test holds, so that no other needs to be tried."""
    if named == "bash":
        others = (_is_sql, _is_prompted, _is_env, _is_crontab)
        return _bash_share(content) >= 0.5 and not any(looks(content, sample) for looks in others)
    for language, looks in _LOOKS:
        if language == named:
            return looks(content, sample)
    return False


def first_word(line: str) -> str:
    """The program a line of shell would run, past assignments and `sudo`."""
    words = line.strip().split()
    while words and (
        re.match(r"\w+=", words[0]) or words[0] in ("sudo", "time", "nohup", "!", "then", "do", "else", "&&", "||", "|")
    ):
        words.pop(0)
    return words[0] if words else ""


def _is_command(line: str) -> bool:
    word = first_word(line)
    bare = word.rsplit("/", 1)[-1].rstrip(";")
    return (
        bare in COMMANDS
        or bool(re.match(r"(?:\.{0,2}|~|/[\w.-]+)/[\w./-]+$|[\w-]+(?:/[\w.-]+)*\.(?:sh|py|rb)$", word))
        or bool(re.match(r"\s*(?:export\s+)?\w+=(?:\S|$)", line))
        or (word.startswith("$") and len(word) > 2)
    )


def _logical(content: list[str]) -> list[str]:
    """Lines that begin a command: not the continuation of one before, not inside quotes or a here-document."""
    begin, carried, quote, until = [], False, "", ""
    for line in content:
        if until:
            until = "" if line.strip() == until else until
            continue
        if not carried and not quote:
            begin.append(line)
        for char in re.sub(r"\\.", "", line):
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
        carried = line.rstrip().endswith(("\\", "|", "&&", "||"))
        heredoc = None if quote else re.search(r"<<-?\s*['\"]?(\w+)", line)
        until = heredoc[1] if heredoc else ""
    return begin


def _bash_share(content: list[str]) -> float:
    begin = [
        line
        for line in _logical(content)
        if line.strip() not in ("fi", "done", "}", "else", ")", ";;", "esac", "then", "do")
    ]
    return sum(map(_is_command, begin)) / len(begin) if begin else 0.0


def _is_bash(content: list[str], sample: str) -> bool:  # noqa: ARG001
    return _bash_share(content) >= 0.5


def _is_prompted(content: list[str], sample: str) -> bool:  # noqa: ARG001
    return bool(_PROMPT.match(content[0])) and not content[0].strip().startswith("%")


def _is_sql(content: list[str], sample: str) -> bool:  # noqa: ARG001
    body = [line for line in content if not line.strip().startswith("\\")]
    joined = "\n".join(re.sub(r"\s--\s.*$", "", line) for line in body).strip()
    if not joined:
        return bool(content)
    statements = [part.strip() for part in joined.split(";") if part.strip()]
    good = sum(bool(_SQL.match(part + ";")) for part in statements)
    if ";" not in joined and not re.match(
        r"(?i)(?:select\b.*\bfrom|with\s|insert into|update\s.+\sset|delete from|create table|alter table)",
        joined,
        re.S,
    ):
        return False
    return good > 0 and good * 2 >= len(statements) and bool(_SQL.match(statements[0] + ";"))


def _is_json(content: list[str], sample: str) -> bool:
    start = content[0].lstrip()[:1]
    if start not in ("{", "[") or (re.match(r"\[\[?\s", content[0].lstrip() + " ") and len(content[0].strip()) > 1):
        return False
    try:
        return isinstance(json.loads(sample), (dict, list))
    except (ValueError, RecursionError):
        return len(re.findall(r"^\s*\"[^\"]+\"\s*:", sample, re.M)) >= 1 and content[-1].strip().rstrip(",;") in (
            "}",
            "]",
            "}]",
            "...",
        )


def _is_promql(content: list[str], sample: str) -> bool:  # noqa: ARG001
    begin = [
        line
        for line in content
        if not line[:1].isspace() and not line.startswith((")", "/", "*", ">", "<", "and ", "or ", "by "))
    ]
    return bool(begin) and sum(bool(_PROMQL.match(line)) for line in begin) * 2 > len(begin)


def _is_yaml(content: list[str], sample: str) -> bool:  # noqa: ARG001
    if content[0].lstrip().startswith(("{", "[", "<")):
        return False
    keys = sum(
        bool(re.match(r"\s*(?:-\s+)?(?:[a-z][\w./-]*|[A-Z0-9_]+|\"[^\"]+\"|'[^']+'):(?:\s|$)", line))
        for line in content
    )
    fits = sum(bool(_YAML_LINE.match(line)) or line[:1] in " \t" for line in content)
    nested = any(
        re.match(r"\s*(?:-\s+)?[\w./\"'-]+:\s*(?:[|>][-+]?)?\s*$", line) or line.lstrip().startswith("- ")
        for line in content
    )
    return keys * 3 >= len(content) and fits == len(content) and nested and keys >= 2


def _is_env(content: list[str], sample: str) -> bool:  # noqa: ARG001
    return all(_ASSIGNMENT.match(line.strip()) for line in content)


def _is_ini(content: list[str], sample: str) -> bool:  # noqa: ARG001
    sections = sum(bool(_INI_SECTION.match(line.strip())) for line in content)
    pairs = sum(bool(re.match(r"\s*[\w.-]+\s*=", line)) for line in content)
    return (
        sections >= 1
        and bool(_INI_SECTION.match(content[0].strip()))
        and pairs >= 1
        and (sections + pairs) * 4 >= len(content) * 3
    )


def _is_conf(content: list[str], sample: str) -> bool:  # noqa: ARG001
    known = sum(line.split()[0].lower() in REDIS_DIRECTIVES for line in content)
    settings = sum(bool(re.match(r"[a-z_][\w.]* = \S", line)) for line in content)
    return (known >= 2 and known * 3 >= len(content) * 2) or (
        settings == len(content) and settings >= 2 and not any("(" in line for line in content)
    )


def _is_diagram(content: list[str], sample: str) -> bool:  # noqa: ARG001
    drawn = [line for line in content if _BOX.search(line)]
    return len(drawn) * 2 >= len(content) and len(drawn) >= 2 and _bash_share(content) < 0.3


def _is_nginx(content: list[str], sample: str) -> bool:  # noqa: ARG001
    return sum(bool(_NGINX.match(line)) for line in content) >= 2


def _is_dockerfile(content: list[str], sample: str) -> bool:  # noqa: ARG001
    return bool(re.match(r"(?:FROM|ARG)\s+\S+", content[0])) and any(
        re.match(r"(?:FROM|RUN|COPY|CMD|ENTRYPOINT|WORKDIR|ENV)\s", line) for line in content[1:]
    )


def _is_hcl(content: list[str], sample: str) -> bool:  # noqa: ARG001
    return any(_HCL.match(line) for line in content)


def _is_crontab(content: list[str], sample: str) -> bool:  # noqa: ARG001
    return all(
        (_CRON.match(line) and (line.strip().startswith("@") or _CRON_FIELDS.match(line.strip())))
        or _ASSIGNMENT.match(line)
        for line in content
    )


def _is_python(content: list[str], sample: str) -> bool:  # noqa: ARG001
    begin = [
        line for line in content if not line[:1].isspace() and line.strip() not in (")", "]", "}", "else:", "try:")
    ]
    return bool(begin) and sum(bool(_PYTHON.match(line)) for line in begin) * 2 >= len(begin)


def _is_http(content: list[str], sample: str) -> bool:  # noqa: ARG001
    return bool(_HTTP.match(content[0].strip()))


# Asked in this order; the first that holds wins.
_LOOKS: tuple[tuple[str, Callable[[list[str], str], bool]], ...] = (
    ("diagram", _is_diagram),
    ("console", _is_prompted),
    ("json", _is_json),
    ("hcl", _is_hcl),
    ("dockerfile", _is_dockerfile),
    ("sql", _is_sql),
    ("promql", _is_promql),
    ("nginx", _is_nginx),
    ("http", _is_http),
    ("ini", _is_ini),
    ("env", _is_env),
    ("crontab", _is_crontab),
    ("conf", _is_conf),
    ("yaml", _is_yaml),
    ("bash", _is_bash),
    ("python", _is_python),
)
