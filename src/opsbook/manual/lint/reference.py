"""The reference page of the rules, generated from the rules themselves."""

from __future__ import annotations

from opsbook.manual.lint.rule import Rule, all_rules

_GROUPS = {
    "OB1": "Shell",
    "OB2": "SQL",
    "OB3": "Tools",
    "OB4": "PromQL and Kubernetes manifests",
    "OB5": "The manual against itself",
    "OB6": "Harm and secrets",
    "OB7": "The book",
}


def reference() -> str:
    """The page as Markdown: a table of all rules, then each with its reason, source and both examples."""
    parts = ["# Lint rules", "", "Generated from the rules; do not edit.", ""]
    for prefix, title in _GROUPS.items():
        own = [rule for rule in all_rules() if rule.id.startswith(prefix)]
        parts += [f"## {title}", "", "| rule | name | class | severity | finds |", "|---|---|---|---|---|"]
        parts += [
            f"| [{r.id}](#{r.id.lower()}) | {r.name} | {r.fault} | {r.severity} | {_cell(r.summary)} |" for r in own
        ]
        parts.append("")
        for rule in own:
            parts += _entry(rule)
    return "\n".join(parts).rstrip() + "\n"


def explained(name: str) -> str:
    """The entry of one rule by its id or name. Raises UsageError for a rule that does not exist."""
    from opsbook.errors import UsageError

    for one in all_rules():
        if name.lower() in (one.id.lower(), one.name):
            return "\n".join(_entry(one)).rstrip() + "\n"
    raise UsageError(f"no lint rule is called {name}", "list them with `opsbook lint --rules`")


def _entry(rule: Rule) -> list[str]:
    needs = [f"Needs {rule.needs}; without it the rule is silent.", ""] if rule.needs else []
    return [
        f'### <a id="{rule.id.lower()}"></a>{rule.id} {rule.name}',
        "",
        f"*{rule.fault}, {rule.severity}*: {rule.summary}.",
        "",
        rule.reason,
        "",
        *needs,
        f"Source: {rule.source}",
        "",
        "Found:",
        "",
        *_quoted(rule.bad, rule.needs),
        "",
        "Silent:",
        "",
        *_quoted(rule.good, rule.needs),
        "",
    ]


def _quoted(text: str, needs: str) -> list[str]:
    return [f"````{'yaml' if needs == 'a book' else 'markdown'}", *text.split("\n"), "````"]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
