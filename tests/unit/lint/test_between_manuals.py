"""Several manuals of one system, linted together."""

from __future__ import annotations

from opsbook.manual.document import read_document
from opsbook.manual.lint import Choice, lint_documents

GUIDE = """# Shop operations guide

### Recovery objectives

- **RTO (Recovery Time Objective)**: 4 hours
- **RPO (Recovery Point Objective)**: 24 hours

### Key Metrics

- **API Error Rate**: Target < 0.1%

### Severity levels

| Severity | Response Time | Resolution Time |
|---|---|---|
| P1 | 1 hour | 1 day |
| P2 | 4 hours | 2 days |

```bash
kubectl get pods -n shop
psql -U app -d shop -c 'SELECT 1'
```
"""
MANUAL = (
    GUIDE.replace("4 hours\n- **RPO", "2 hours\n- **RPO")
    .replace("< 0.1%", "< 1%")
    .replace("| P1 | 1 hour", "| P1 | 30 minutes")
    .replace("-d shop", "-d shop_prod")
    .replace("-n shop", "-n shop-live")
)


def _told(*texts: str) -> dict[str, list[str]]:
    pairs = [(read_document(text, f"{number}.md"), None) for number, text in enumerate(texts)]
    found = lint_documents(pairs, Choice(select=("OB57*",)))
    told: dict[str, list[str]] = {}
    for finding in found:
        told.setdefault(finding.rule, []).append(f"{finding.path}: {finding.message}")
    return told


def test_it_finds_other_promises_limits_times_and_names() -> None:
    told = _told(GUIDE, MANUAL)
    assert told["OB570"] == ["1.md: RTO 2h here, 4h in 0.md line 5"]
    assert any("API Error Rate" in text for text in told["OB571"])
    assert any("P1: response 30min here, 1h in 0.md" in text for text in told["OB572"])
    assert {text.split(" here")[0] for text in told["OB573"]} == {
        "1.md: database shop_prod",
        "1.md: namespace shop-live",
    }


def test_it_is_silent_where_they_agree() -> None:
    assert _told(GUIDE, GUIDE) == {}


def test_it_is_silent_on_one_manual() -> None:
    assert _told(MANUAL) == {}
