"""Which files a block writes on this host, and which on the other side of an exec border."""

from __future__ import annotations

import posixpath
import re

from opsbook.manual.lint.facts.steps import Step

#: The programs that dump a database.
DUMPS = frozenset({"pg_dump", "pg_dumpall", "mysqldump", "mariadb-dump", "mongodump", "pg_basebackup"})

_WRITES = (">", ">>", "&>", ">|", "1>")


def local_files(step: Step) -> list[str]:
    """The files that a step leaves on the host where the block runs."""
    if step.remote:
        return []
    found = [
        redirect.target.text for redirect in step.command.redirects if redirect.operator.lstrip("0123456789") in _WRITES
    ]
    words = step.words
    call = step.call
    if (
        step.program == "aws"
        and call
        and call.verb == "s3 cp"
        and len(call.words) > 1
        and call.words[0].startswith("s3://")
    ):
        target = call.words[1]
        name = posixpath.basename(call.words[0])
        found.append(
            target + name if target.endswith("/") else (posixpath.join(target, name) if target == "." else target)
        )
    elif step.program == "kubectl" and call and call.verb == "cp" and len(call.words) > 1 and ":" in call.words[0]:
        found.append(call.words[1])
    elif step.program in ("pg_dump", "pg_dumpall") and call and call.value("-f", "--file"):
        found.append(str(call.value("-f", "--file")))
    elif step.program in ("wget", "curl"):
        target = next(
            (
                words[i + 1]
                for i, w in enumerate(words[:-1])
                if (w in ("-o", "-O", "--output") and step.program == "curl") or w == "-O"
            ),
            "",
        )
        found += [target] if target else []
    elif step.program in ("gzip", "gunzip", "xz", "bzip2", "zstd") and len(words) > 1 and "-c" not in words:
        for word in words[1:]:
            if not word.startswith("-"):
                found.append(
                    re.sub(r"\.(?:gz|xz|bz2|zst)$", "", word)
                    if step.program == "gunzip" or "-d" in words
                    else word + ".gz"
                )
    elif step.program == "tar":
        at = next((i for i, w in enumerate(words) if re.match(r"-?\w*c\w*f$", w)), -1)
        found += [words[at + 1]] if 0 < at < len(words) - 1 else []
    return [name for name in found if name and not name.startswith(("&", "/dev/"))]


def pattern_of(name: str) -> str:
    """A file name with what varies (variables, substitutions, dates) as one mark, to compare names that steps build."""
    text = re.sub(
        r"\$\([^)]*\)|`[^`]*`|\$\{[^}]*\}|\$\w+|\d{4}-?\d{2}-?\d{2}[-_T]?\d*|\d{6,}|YYYY[-_]?MM[-_]?DD\S*?(?=\.|$)|<[^>]+>",
        "*",
        name.strip("\"'"),
    )
    return re.sub(r"[-_.]?\*[-_*]*", "*", text)
