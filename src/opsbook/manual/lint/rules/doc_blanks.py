"""What was left blank: values in capitals, sample numbers of clouds, contacts of nobody, sections to be written."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.document import Fence, Heading, Table
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_CAPITALS = re.compile(
    r"(?<![\w${%-])<?((?:YOUR|MY)[_-][A-Z0-9_-]{2,}|YOUR/WEBHOOK(?:/URL)?|(?:CONTAINER|INSTANCE|POD|PROJECT|CLUSTER|ACCOUNT|"
    r"SERVER)_(?:ID|NAME|IP)|[A-Z]+_HOST(?=['\"\s]|$))(?![\w=:(}%])>?"
)
_SMALL = re.compile(
    r"(?<![\w$/.-])((?:container|pod|service|database|db|image|branch|volume)_(?:name|id)|your[-_](?:server|host|ip|vps|username|user)"
    r"|(?:user|username)@(?:server|host|hostname|remote|your[\w.-]*)|previous-(?:version|tag|commit|release|stable)|"
    r"(?:last|previous)[-_]known[-_]good|v?[xX]\.[yY]\.[zZ]|commit[-_](?:hash|sha|id)|(?:target|old|stable)[-_](?:commit|tag))"
    r"(?![\w(=.])"
)
_YOURS = re.compile(
    r"(?:^|[\s/])(your[-_]?(?:user ?name|name|org|company|dockerhub|registry)[\w.-]*)/[\w.-]+(?::[\w.-]+)?$"
)
_CLOUD = (
    (re.compile(r"\b(?:i|sg|vpc|subnet|ami|vol|snap|eni|rtb|igw)-(?:x{4,}|X{4,}|1234567890abcdef0|0?123456789?\w*|0?abc\w*)\b"),
     "is a sample, not a resource of yours"),
    (re.compile(r"\b123456789012\b"), "is the account of AWS' own examples"),
    (re.compile(r"\bZ(?:1234567890?\w*|X{5,}|1D633PJN98FT9)\b"), "is a sample of a hosted zone"),
    (re.compile(r"\bE(?:X{6,}|1234567890\w*|XAMPLE\w*)\b"), "is a sample of a distribution"),
    (re.compile(r"\barn:aws:[\w-]+:[\w-]*:[xX]{4,}:[\w/-]+"), "is a sample of an ARN"),
)  # fmt: skip


@rule(
    "OB512",
    "value-not-filled-in",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A value of a command that is still the template's",
    reason="Who pastes the command in an incident gets an error, or asks somebody else's account.",
    source="https://developers.google.com/style/placeholders",
    bad=sh("git clone https://github.com/YOUR_ORG/shop.git"),
    good=sh("git clone https://github.com/shop-gmbh/shop.git"),
)
def value_not_filled_in(context: Context) -> Iterator[Fault]:
    """YOUR_…, container_name, previous-version, user@server, sample ids of clouds; tokens and keys are left alone."""
    for step in context.steps:
        if step.program in ("echo", "printf", "export", "", "grep", "sed"):
            continue
        inner = [s for s in step.block.steps if s.outer is step]
        for word in step.command.argv[1:]:
            if any(word in s.command.argv for s in inner) or len(word.text) > 300:
                continue
            told = None if "<" in word.raw else _blank(word.text)
            if told:
                yield Fault(
                    step.at(word), told[1], Fix("$VARIABLE or <name>, and say where it comes from"), subject=told[0]
                )
    for fence in context.document.fences():
        if fence.language in ("python", "yaml", "javascript", "nginx", "conf", "ini", "typescript"):
            yield from _of_code(context, fence)


def _blank(text: str) -> tuple[str, str] | None:
    if re.search(r"\$\{|YOUR[_-]?(?:API|ACCESS|SECRET|TOKEN|PASS|KEY)|(?:KEY|TOKEN|SECRET|PASSWORD)\b", text, re.I):
        return None
    found = _CAPITALS.search(text) or _SMALL.search(text) or _YOURS.search(text)
    if found and not re.search(r"--format|go-template|jsonpath|SELECT|WHERE|FROM|\{\{", text):
        return found[1], f"{found[1]} was never filled in"
    for pattern, what in _CLOUD:
        sample = pattern.search(text)
        if sample:
            return sample[0], f"{sample[0]} {what}"
    return None


def _of_code(context: Context, fence: Fence) -> Iterator[Fault]:
    for number, line in enumerate(fence.text.split("\n"), fence.line):
        found = re.search(
            r"[\"'\s=]<?(YOUR_[A-Z0-9_]+|your-(?:domain|server|host|registry|org|bucket)[\w.-]*)>?[\"'\s/;:]",
            line + " ",
        )
        if found and not re.search(r"KEY|TOKEN|SECRET|PASS", found[1]) and not line.lstrip().startswith(("#", "//")):
            yield Fault(context.place(number, found[1]), f"{found[1]} was never filled in", subject=found[1])


_PEOPLE = re.compile(
    r"contact|escalat|on-?call|emergency|support|kontakt|ansprech|notfall|bereitschaft|联系|연락|連絡|контакт|contato|contacto",
    re.I,
)
_NOBODY = (
    (re.compile(r"[\w.+-]+@example\.(?:com|org|net)\b|[\w.+-]+@(?:domain|email|yourmail|mail)\.com\b"),
     "is nobody's address"),
    (re.compile(r"[\w.+-]+@[\w.-]+\.(?:local|localhost|invalid|test|example)\b"), "cannot be reached by mail: "
                                                                                  "the domain is none of the "
                                                                                  "internet's"),
    (re.compile(r"\+?1?[-. (]*\b(?:123|234|555)[-. )]+(?:456|567|123|555|01\d|0100)(?:[-. ]*\d{2,4})?\b"),
     "is a sample number"),
    (re.compile(r"(?<![\w.])(?:\+\d{1,3}[-. ]?)?\(?\d{2,4}\)?[-. ](?:0000|1234|0000[-. ]0000|1234[-. "
                r"]5678)\b(?!-\d)"), "is a sample number"),
    (re.compile(r"(?<![\w/])@(?:username|handle|your[-_]?\w+|person|name|oncall-handle)\b"), "is nobody's name"),
    (re.compile(r"_{4,}"), "was never filled in"),
)  # fmt: skip


@rule(
    "OB513",
    "contact-of-nobody",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A contact that reaches nobody",
    reason=(
        "example.com and .local receive no mail, 555 numbers ring nowhere: it is found out when the person is needed. "
        "RFC 2606 and RFC 6762 set these names aside."
    ),
    source="https://www.rfc-editor.org/rfc/rfc2606",
    bad="## Contacts\n\n- On-call: oncall@example.com\n- DBA: dba@example.com",
    good="## Contacts\n\n- On-call: oncall@shop.io\n- DBA: dba@shop.io",
)
def contact_of_nobody(context: Context) -> Iterator[Fault]:
    """Addresses, numbers and names in sections about people; empty cells of a table of contacts."""
    from opsbook.manual.document import Prose

    own_example = bool(re.search(r"(?:://|[\s\"'`])[\w-]+\.example\.(?:com|org)", "\n".join(context.document.lines)))
    for block in context.document.walk():
        path = " ".join(block.section_path)
        if not _PEOPLE.search(path) or re.search(r"template|example|postmortem|vorlage", path, re.I):
            continue
        if isinstance(block, Prose) and not isinstance(block, Heading):
            lines = [(line.line, line.source) for line in block.lines]
        elif isinstance(block, Table):
            lines = [(row.line, " | ".join(cell.source for cell in row.cells)) for row in block.rows]
            yield from _empty_cells(context, block)
        else:
            continue
        for number, text in lines:
            for pattern, what in _NOBODY:
                found = pattern.search(text)
                if found and not (own_example and "@example." in found[0]):
                    yield Fault(
                        context.place(number, found[0]),
                        f"{found[0].strip()} {what}",
                        subject=f"nobody-{block.section_path}",
                    )
                    break


def _empty_cells(context: Context, table: Table) -> Iterator[Fault]:
    """Rows of a table of contacts whose every column of names and numbers is empty."""
    heads = [cell.text.lower() for cell in table.header.cells]
    ways = [n for n, text in enumerate(heads) if re.search(r"name|phone|contact|e-?mail|slack|telefon|电话|연락", text)]
    empty = [
        row for row in table.rows if ways and row.text(0) and all(not row.text(n).strip(" -–—") for n in ways if n)
    ]
    if len(ways) > (1 if ways and ways[0] == 0 else 0) and len(empty) > len(table.rows) // 2:
        yield Fault(context.place(empty[0].line), "nobody is named", subject=f"nobody-{table.section_path}")


@rule(
    "OB514",
    "section-not-written",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A section that says that it is yet to be written",
    reason="A heading promises a procedure; who follows it in an incident finds a note to its author.",
    source="https://sre.google/workbook/on-call/",
    bad="## Restore\n\nTODO: describe the restore",
    good="## Restore\n\nFeed the dump to psql, see below.",
)
def section_not_written(context: Context) -> Iterator[Fault]:
    """Paragraphs and items that begin with TODO, FIXME, WIP, “coming soon”, “to be written”; comments in blocks too."""
    from opsbook.manual.document import Prose

    starts = re.compile(
        r"^[\W_]*(?:TODO\b|FIXME\b|WIP\b|XXX\b|[Cc]oming soon\b|to be (?:written|documented|added|completed)\b|"
        r"\(?coming soon|(?:this section|documentation) (?:is|will be) (?:yet )?(?:to be|under|incomplete)|待补充|"
        r"待完善|작성 예정|準備中)"
    )
    for block in context.document.walk():
        if isinstance(block, Prose) and not isinstance(block, Heading):
            for line in block.lines:
                if starts.match(line.text) and not re.search(r"todo list|todo app|todos", line.text, re.I):
                    yield Fault(context.place(line.line), "yet to be written", subject=f"todo-{block.section_path}")
                    break
    for fence in context.document.fences():
        if fence.language == "bash":
            for number, text in enumerate(fence.text.split("\n"), fence.line):
                if _STUB.search(text):
                    yield Fault(context.place(number), "yet to be written", subject=f"todo-{fence.line}")


_STUB = re.compile(
    r"^\s*#\s*(?:TODO|FIXME)\b|^\s*#\s*Implementation:|\((?:implementation|to be implemented)[ \w]*\)\s*$|"
    r"(?:implementation|implement) needed|not (?:yet )?implemented yet|^\s*#\s*[Aa]dd [\w /-]+ here\b",
    re.I,
)


@rule(
    "OB515",
    "backup-never-made",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A copy is put back that nothing in the manual makes",
    reason="The restore names a file that no backup step writes: at the moment it is needed there is no such file.",
    source="the manual itself",
    bad=("## Restore\n\n") + sh("cp .env.production.backup /srv/shop/.env.production"),
    good=("## Backup\n\n")
    + sh("cp /srv/shop/.env.production .env.production.backup")
    + ("\n\n## Restore\n\n")
    + sh("cp .env.production.backup /srv/shop/.env.production"),
)
def backup_never_made(context: Context) -> Iterator[Fault]:
    """cp and mv from NAME.bak, .backup, .old, and arguments `…/latest`, that appear nowhere as a target."""
    text = "\n".join(context.document.lines)
    made = re.search(r"ln\s+-\w*s\w*\s[^\n]*latest|cp\s[^\n]*/latest\b|>\s*\S*/latest\b", text)
    for step in context.steps:
        words = step.command.argv
        if step.program in ("cp", "mv") and len(words) > 2 and not step.remote:
            source = words[-2].text.strip("\"'")
            found = re.search(r"([\w.-]+\.(?:bak|backup|old|orig))$", source)
            if found and "$" not in source and text.count(found[1]) == sum(found[1] in w.text for w in words):
                yield Fault(step.at(words[-2]), f"nothing in this manual makes {found[1]}", subject=found[1])
        for word in words[1:]:
            named = re.match(r"[^\s:]*/latest$", word.text) and re.search(
                r"backup|dump|snapshot|restor", step.command.text, re.I
            )
            if named and not word.text.startswith(("s3://", "http")) and not made and not step.container:
                yield Fault(
                    step.at(word),
                    f"nothing in this manual writes {word.text}",
                    Fix("name the backup"),
                    subject=word.text,
                )


_READS = (
    ("k6", re.compile(r"\brun\s+(?:-\S+\s+)*([\w-]+\.js)$")),
    ("artillery", re.compile(r"\brun\s+(?:-\S+\s+)*([\w-]+\.ya?ml)$")),
    ("aws", re.compile(r"file://(?:\./)?([\w-]+\.json)\b")),
    ("curl", re.compile(r"(?:-d|--data|--data-binary|--json)\s+['\"]?@(?:\./)?([\w-]+\.(?:json|xml|csv|sql))\b")),
    ("psql", re.compile(r"(?:-f|--file)[ =](?:\./)?([\w-]+\.sql)\b")),
    ("kubectl", re.compile(r"(?:-f|--filename)[ =](?:\./)?([\w-]+\.ya?ml)\b")),
)


@rule(
    "OB516",
    "input-not-given",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A command reads a file of the working directory that the manual neither shows nor makes",
    reason="The file lies beside the author. Its content is the step; without it the command says “no such file”.",
    source="https://docs.aws.amazon.com/cli/latest/userguide/cli-usage-parameters-file.html",
    bad=sh("aws route53 change-resource-record-sets --hosted-zone-id $ZONE --change-batch file://failover.json"),
    good=sh(
        "cat > failover.json <<'EOF'\n{\"Changes\": []}\nEOF\n"
        "aws route53 change-resource-record-sets --hosted-zone-id $ZONE --change-batch file://failover.json"
    ),
)
def input_not_given(context: Context) -> Iterator[Fault]:
    """Bare names behind file://, -d @, k6 run, psql -f, kubectl -f that stand in no other line of the manual."""
    lines = context.document.lines
    for step in context.steps:
        pattern = next((p for program, p in _READS if program == step.program), None)
        found = pattern.search(step.command.text) if pattern else None
        if (
            not found
            or step.container is not None
            or any(s.program in ("cd", "pushd", "git") for s in step.block.before(step))
        ):
            continue
        name = found[1]
        if context.repository is not None and (
            context.repository.has(name) or context.repository.has(name, from_folder=True)
        ):
            continue
        elsewhere = [
            n
            for n, line in enumerate(lines, 1)
            if name in line and not (step.command.line <= n <= step.command.end_line) and not _same_read(line, pattern)
        ]
        if not elsewhere and not re.search(r"backup|dump|restore|schema|seed|init|migrat", name):
            yield Fault(step.place, f"{name} is neither shown nor made", Fix("show it, or name its path"), subject=name)


def _same_read(line: str, pattern: re.Pattern[str] | None) -> bool:
    return bool(pattern and pattern.search(line))
