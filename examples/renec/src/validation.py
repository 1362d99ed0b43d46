"""Rules that harvested data must keep; each is a query for what breaks it."""

from __future__ import annotations

from sqlalchemy import Engine, text

RULES = {
    "a standard has a title": "SELECT code FROM ec_standards_v2 WHERE title = ''",
    "a standard's level is 1 to 5": "SELECT code FROM ec_standards_v2 WHERE level NOT BETWEEN 1 AND 5",
    "a centre belongs to a known certifier": (
        "SELECT c.code FROM centros c LEFT JOIN certificadores_v2 e ON e.code = c.certifier_code WHERE e.code IS NULL"
    ),
    "a certifier has an address": "SELECT code FROM certificadores_v2 WHERE email NOT LIKE '%@%'",
}


def broken_rules(engine: Engine) -> dict[str, list[str]]:
    """Rule → codes of the records that break it; kept rules are absent."""
    with engine.connect() as connection:
        found = {rule: list(connection.execute(text(query)).scalars()) for rule, query in RULES.items()}
    return {rule: codes for rule, codes in found.items() if codes}
