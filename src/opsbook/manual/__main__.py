"""`python -m opsbook.manual import|lint FILE`: the reading room on its own, without the rest of the house."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from opsbook.errors import OpsbookError, UsageError
from opsbook.manual.document import read_document
from opsbook.manual.reading import Manual, as_json, extract


def main(arguments: list[str] | None = None) -> int:
    """Read one manual and print what was found. Returns the exit code: 0 fine, 1 findings, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m opsbook.manual", description=__doc__)
    parser.add_argument("verb", choices=("import", "lint"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    asked = parser.parse_args(arguments)
    try:
        text = asked.file.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"cannot read {asked.file}: {error.strerror}", "give the path of a Markdown file") from error
    document = read_document(text, asked.file.name)
    manual = extract(document)
    if asked.verb == "import":
        _write(as_json(manual) if asked.format == "json" else _summary(manual))
        return 0
    findings = _lint(document, manual)
    _write({"findings": findings} if asked.format == "json" else _listed(findings))
    return 1 if findings else 0


def _lint(document: Any, manual: Manual) -> list[dict[str, Any]]:
    if importlib.util.find_spec("opsbook.manual.lint") is None:
        return []
    lint = importlib.import_module("opsbook.manual.lint")
    return [finding.as_json() for finding in lint.lint_document(document, manual)]


def _summary(manual: Manual) -> str:
    lines = [f"{manual.system.name or manual.name}"]
    for kind, found in as_json(manual).items():
        if isinstance(found, list):
            lines.append(f"  {kind.replace('_', ' '):20}{len(found):5}")
    return "\n".join(lines)


def _listed(findings: list[dict[str, Any]]) -> str:
    return "\n".join(f"{each.get('line')}: {each.get('severity')}: {each.get('message')}" for each in findings)


def _write(answer: object) -> None:
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False, indent=1)
    sys.stdout.write(text + "\n" if text else "")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OpsbookError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
