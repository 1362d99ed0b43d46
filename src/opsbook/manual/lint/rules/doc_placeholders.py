"""What was never filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.document import Table
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule
from opsbook.manual.shell import Word

_CONTACT = re.compile(
    r"contact|kontakt|контакт|联系|連絡|연락|escal|eskal|эскал|bereitschaft|ansprech|notfall|on-?call|support|emergency|vendor|phone",
    re.I,
)
_BLANK = re.compile(
    (
        r"\[(?:(?:your |the |insert |add |enter )?(?:contact|name|phone|email|e-mail|number|url|"
        r"tbd|todo|rotation|schedule|slack|channel|pager|team|manager|support|cloud|provider|case|"
        r"link|account|company|person|role|here|date)[\w /'-]*)\](?!\()"
        r"|\[(?:[A-Z][\w' ]* )?(?:Number|URL|Contact|Name|Email|Phone|Schedule)\](?!\()|<(?:name|"
        r"phone|email|contact|number|tbd|todo)[\w -]*>"
        r"|<[\w-]+-(?:link|url|phone|email|number|contact)>|\bTBD\b|"
        r"\bto be (?:determined|defined|confirmed|announced|"
        r"filled)\b"
    ),
    re.I,
)
_BRACKETED = re.compile(r"[:：|]\s*\**\s*(\[[^\]\[]{3,40}\])(?!\()\s*\|?\s*$")
_OPEN = re.compile(r"T\.?B\.?[DAC]\.?|to be (?:determined|defined|announced|confirmed)|未定|待定|\?{2,}", re.I)
_PHONE = re.compile(r"(?:\+?\d{1,3}[-. (]*)?(?:\(?[xX]{3}\)?[-. ]){1,3}[xX]{3,4}|\+?1?[-. (]*555[-. )]*[xX]{3}")
_DOMAIN = re.compile(
    (
        r"\b((?:[\w-]+\.)*(?:your|my)-?_?(?:domain|company)\.(?:[\w-]+\.)?[a-z]{2,}|"
        r"(?:[\w-]+\.)*(?:your|my)-?_?(?:domain|company|org|app|site|server|host|"
        r"cluster)(?:name)?\.(?:com|org|net|io|dev|internal|local|cn|ru|co\.kr))\b"
        r"|(?<=://)(your-?(?:server|host|domain|ip)[\w-]*)(?=[:/\s]|$)"
    ),
    re.I,
)
_OWNER = re.compile(
    (
        r"\b(?:github|gitlab|bitbucket)\.(?:com|org)[/:](?:your-?(?:org|username|user|name|"
        r"company|repo)\w*|yourusername)\b"
    ),
    re.I,
)
_REGISTRY = re.compile(
    r"(?:^|=|\s)((?:registry|your-registry|my-registry|myregistry|your-dockerhub|"
    r"docker-registry|REGISTRY)/[\w./-]+|(?:ghcr\.io|docker\.io|quay\.io|gcr\.io|"
    r"registry\.gitlab\.com)/(?:org|your-?org|your-?username|username|user|owner|my-?org|"
    r"organization|company|project|example)/[\w./-]+)"
)
_NAME = re.compile(
    r"(?:^|[\s/=:])((?:[\w.-]+/)?(?:[a-z][\w-]*-x{3,}\w*|x{3,}_[\w.-]+"
    r"|(?:new|old|target|source)-(?:\w+-)?(?:host|server|db|instance)"
    r"|[a-z][\w-]*-(?:abc123|abc12|abcde|xyz123|12345)|your-[\w-]+|my-?pod(?:-name)?|(?:pod|container|service|node)-name"
    r"|(?:project|account|instance|cluster|namespace|bucket|resource-group)-(?:id|name)(?:\.[\w.-]+)?"
    r"|(?:[\w-]+\.)+(?:project|account|instance|cluster)-id\.[\w.-]+"
    r"|(?:compromised|affected|suspicious|failing|problematic|infected)-(?:container|pod|host|node|service|instance)))"
    r"(?=[\s:/]|$)"
)


@rule(
    "OB501",
    "contact-not-filled-in",
    FaultClass.DANGLING,
    Severity.ERROR,
    summary="A contact that was never filled in",
    reason=(
        "At three in the morning the list of contacts is the one page that must be right. A "
        "blank is found then, and not before."
    ),
    source="https://sre.google/sre-book/managing-incidents/",
    bad=("## Emergency Contacts\n\n- **On-call engineer**: [Contact]\n- **Support**: +1-xxx-xxx-xxxx"),
    good=("## Emergency Contacts\n\n- **On-call engineer**: PagerDuty, service shop\n- **Support**: +49 30 901820"),
)
def contact_not_filled_in(context: Context) -> Iterator[Fault]:
    """Blanks in prose, lists and tables about people; told once with all lines of the section."""
    for section_line, path, text in _prose_with_path(context):
        found = _PHONE.search(text) or (_BLANK.search(text) if _CONTACT.search(" ".join(path) + " " + text) else None)
        if found is None and _CONTACT.search(" ".join(path)) and not re.match(r"\s*[-*]?\s*\[[ xX]\]", text):
            found = _BRACKETED.search(text)
        if found and not re.search(r"template|example below|fill in|replace", " ".join(path), re.I):
            yield Fault(
                context.place(section_line, found[found.lastindex or 0]),
                f"{found[found.lastindex or 0]} was never filled in",
                subject=f"contact-{path}",
            )


def _prose_with_path(context: Context) -> Iterator[tuple[int, tuple[str, ...], str]]:
    from opsbook.manual.document import Prose, Table

    for block in context.document.walk():
        if isinstance(block, Prose):
            for line in block.lines:
                yield line.line, block.section_path, line.source
        elif isinstance(block, Table):
            for row in block.rows:
                yield row.line, block.section_path, " | ".join(cell.source for cell in row.cells)


@rule(
    "OB502",
    "template-domain",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="The domain of the template the manual was made from",
    reason=("The address belongs to somebody else or to nobody: the check asks a stranger, the mail goes nowhere."),
    source="https://www.rfc-editor.org/rfc/rfc2606 (example.com is the reserved one)",
    bad="Write to oncall@your-domain.com.",
    good="Write to oncall@shop.example.com.",
)
def template_domain(context: Context) -> Iterator[Fault]:
    """your-domain.com and its like, github.com/your-org; told once for each."""
    for number, line in enumerate(context.document.lines, 1):
        for owner in _OWNER.finditer(line):
            message = f"{owner[0]} is a template's address, not yours"
            yield Fault(context.place(number, owner[0]), message, subject=owner[0].lower())
        for found in _DOMAIN.finditer(line):
            base = ".".join(found[0].rsplit(".", 2)[-2:])
            yield Fault(
                context.place(number, found[0]), f"{base} is a template's domain, not yours", subject=base.lower()
            )


@rule(
    "OB503",
    "template-registry",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="An image of a registry or organisation that is a placeholder",
    reason=("The image cannot be pulled under this name; ghcr.io/org is even somebody's real account."),
    source="https://docs.github.com/en/packages/working-with-a-github-packages-registry/working-with-the-container-registry",
    bad=sh("kubectl set image deployment/api api=ghcr.io/org/api:1.8.2"),
    good=sh("kubectl set image deployment/api api=ghcr.io/shop-gmbh/api:1.8.2"),
)
def template_registry(context: Context) -> Iterator[Fault]:
    """Images in commands."""
    for step in context.steps:
        if step.program in ("kubectl", "docker", "helm", "podman", "docker-compose", "crane", "skopeo"):
            for word in step.command.argv[1:]:
                found = _REGISTRY.search(word.text)
                if found:
                    yield Fault(
                        step.at(word), f"{found[1].split(':')[0]} is a placeholder", subject=found[1].split(":")[0]
                    )


@rule(
    "OB504",
    "name-not-filled-in",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A name in a command that stands for another and is not marked as such",
    reason=(
        "The command looks ready and is pasted as it is; it acts on nothing, or on the wrong "
        "thing. A parameter is written as a variable or in angle brackets, and said."
    ),
    source="https://developers.google.com/style/placeholders",
    bad=sh("kubectl cp shop/api-xxx:/tmp/export.zip ./export.zip"),
    good=sh('kubectl cp "shop/$POD:/tmp/export.zip" ./export.zip'),
)
def name_not_filled_in(context: Context) -> Iterator[Fault]:
    """api-xxx, xxx_add_field.py, new-db-host, your-… in arguments; not in comments, URLs of domains or echo."""
    for step in context.steps:
        if step.program in ("echo", "export", "alias", "git", "", "printf", "sed"):
            continue
        inner = [s for s in step.block.steps if s.outer is step]
        for word in step.command.argv[1:]:
            if any(word in s.command.argv for s in inner) or len(word.text) > 80 or word.placeholders:
                continue
            path = re.match(r"(?:file://|@)?(/path/to/[\w./-]*)", word.text)
            if path:
                yield Fault(step.at(word), f"{path[1]} stands for a path that nothing tells", subject="path-to")
                continue
            bucket = re.search(r"(?:s3|gs)://((?:your|my)-[\w-]+|bucket-name)", word.text)
            if bucket:
                yield Fault(step.at(word), f"{bucket[1]} is a placeholder", subject=bucket[1])
                continue
            pod = _pod(step, word)
            if pod:
                yield Fault(
                    step.at(word),
                    f"no controller names a pod {pod}: it stands for another name",
                    Fix("deployment/NAME, or look the pod up by its label"),
                    subject=pod,
                )
                continue
            found = _NAME.search(word.text)
            if (
                found
                and "://" not in word.text
                and "@" not in word.text
                and not re.search(r"your-?domain|your-?company|your-?registry", word.text)
            ):
                if re.search(r"(?i)key|token|secret|password", word.text):
                    continue
                yield Fault(
                    step.at(word),
                    f"{found[1]} is a placeholder that looks like a name",
                    Fix("write it as $VARIABLE or <name> and say where it comes from"),
                    subject=found[1],
                )


def _pod(step: Step, word: Word) -> str:
    """A pod called NAME-pod, which is what authors write where the generated name would stand."""
    call = step.call
    if (
        call is None
        or call.tool != "kubectl"
        or call.verb not in ("exec", "logs", "cp", "describe", "delete", "port-forward")
        or word not in call.args
    ):
        return ""
    found = re.match(r"(?:[\w-]+/)?([a-z][\w-]*-pod)(?::|$)", word.text)
    return found[1] if found and f"name: {found[1]}" not in step.block.text else ""


@rule(
    "OB511",
    "left-to-be-determined",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A table that was never filled in",
    reason="A date, owner or figure that is to be determined is one that nobody has determined.",
    source="https://sre.google/workbook/on-call/",
    bad="| Test | Frequency | Last run |\n|-|-|-|\n| Restore | Monthly | TBD |",
    good="| Test | Frequency | Last run |\n|-|-|-|\n| Restore | Monthly | 2026-03-02 |",
)
def left_to_be_determined(context: Context) -> Iterator[Fault]:
    """Cells that hold nothing but TBD and its like; told once for a table, contacts by OB501."""
    for block in context.document.walk():
        if not isinstance(block, Table):
            continue
        for row in block.rows:
            blank = next((cell for cell in row.cells if _OPEN.fullmatch(cell.text.strip())), None)
            if blank is not None and not _CONTACT.search(" ".join(block.section_path)):
                yield Fault(
                    context.place(row.line, blank.text.strip()),
                    f"{blank.text.strip()}: never filled in",
                    subject=f"table-{block.rows[0].line}",
                )


@rule(
    "OB505",
    "parameter-by-hand",
    FaultClass.DANGLING,
    Severity.HINT,
    summary="A value in angle brackets that nothing explains",
    reason=(
        "Pasted as it is the shell takes <name> for a redirection. Say where the value comes "
        "from, or let the command before find it."
    ),
    source="https://developers.google.com/style/placeholders",
    bad=sh("kubectl describe pod <pod-name> -n shop"),
    good=sh("POD=$(kubectl get pods -n shop -l app=api -o name | head -1)\nkubectl describe $POD -n shop"),
)
def parameter_by_hand(context: Context) -> Iterator[Fault]:
    """Placeholders in commands; told once."""
    for step in context.steps:
        for word in step.command.argv[1:]:
            if (
                step.outer is None
                and word.placeholders
                and not word.placeholders[0].startswith(".")
                and step.program not in ("echo", "printf")
                and not any(s.outer is step and word in s.command.argv for s in step.block.steps)
            ):
                yield Fault(step.at(word), f"<{word.placeholders[0]}> is to be filled in by hand", subject="by-hand")


@rule(
    "OB506",
    "file-not-given",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A file that a command reads from the working directory and nothing gives",
    reason=(
        "A format or script file of this kind lives beside the author. Who runs the command "
        "elsewhere gets an error or, with curl -w, the bare text."
    ),
    source="https://curl.se/docs/manpage.html#-w",
    bad=sh('curl -w "@curl-format.txt" -o /dev/null -s https://api.shop.com/'),
    good=sh("curl -w 'total %{time_total}s\\n' -o /dev/null -s https://api.shop.com/"),
)
def file_not_given(context: Context) -> Iterator[Fault]:
    """curl -w @FILE and -d @FILE with a bare name that the manual neither writes nor shows."""
    for step in context.calls("curl"):
        call = step.call
        assert call is not None
        for flag in call.flags:
            if (
                flag.name in ("-w", "--write-out", "-K", "--config")
                and flag.value
                and re.fullmatch(r"@?[\w.-]+\.\w+", flag.value)
            ):
                name = flag.value.lstrip("@")
                shown = sum(name in line for line in context.document.lines)
                written = any(
                    name in line
                    and re.search(
                        rf">\s*{re.escape(name)}|`{re.escape(name)}`|#\s*{re.escape(name)}|save|create", line, re.I
                    )
                    for line in context.document.lines
                )
                if shown >= 1 and not written:
                    yield Fault(step.at(flag.word), f"{name} is not given", subject=name)


@rule(
    "OB507",
    "anchor-missing",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A link to a section that the manual does not have",
    reason="The link leads nowhere. Renamed headings change their anchors.",
    source="https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#section-links",
    bad=("See [Restore](#restore).\n\n## Database restore"),
    good=("See [Restore](#database-restore).\n\n## Database restore"),
)
def anchor_missing(context: Context) -> Iterator[Fault]:
    """Fragments that no heading and no HTML anchor has; differences of emoji and punctuation are forgiven."""
    anchors = {heading.anchor for heading in context.document.headings()}
    anchors |= set(re.findall(r"""(?:id|name)=["']([\w-]+)["']""", "\n".join(context.document.lines)))
    anchors |= set(re.findall(r"\{#([\w-]+)\}", "\n".join(context.document.lines)))
    loose = {_loose(anchor) for anchor in anchors}
    for link in context.document.links():
        if link.target.startswith("#") and len(link.target) > 1:
            wanted = link.target[1:]
            if wanted.lower() not in anchors and wanted not in anchors and _loose(wanted) not in loose:
                yield Fault(Place(link.line, link.column), f"there is no section {link.target}", subject="anchors")


def _loose(anchor: str) -> str:
    import urllib.parse

    return re.sub(r"[^\w]+|_", "", urllib.parse.unquote(anchor).lower())


@rule(
    "OB508",
    "step-left-out",
    FaultClass.DANGLING,
    Severity.HINT,
    summary="A block that is all comments",
    reason="A procedure of comments is a reminder that the procedure is yet to be written.",
    source="https://sre.google/workbook/on-call/",
    bad=sh("# 1. Notify users\n# 2. Apply updates\n# 3. Verify"),
    good=sh("# 1. Apply updates\napt-get update && apt-get upgrade -y"),
)
def step_left_out(context: Context) -> Iterator[Fault]:
    """Shell fences of several lines without a command."""
    for block in context.scripts:
        lines = [line for line in block.text.split("\n") if line.strip()]
        if len(lines) >= 3 and not block.found and all(line.lstrip().startswith("#") for line in lines):
            yield Fault(
                context.place(block.line), "a block of comments: none of its steps is given", subject="comments"
            )
