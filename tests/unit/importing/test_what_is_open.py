"""What an imported book still has to be told: its addresses, in one file, and what its procedures need."""

from __future__ import annotations

from opsbook.catalogue import catalogue
from opsbook.cli.import_ import _mistakes
from opsbook.manual.importing.make import Import, make
from opsbook.manual.importing.report import report
from opsbook.manual.importing.report_html import as_html
from opsbook.manual.importing.report_text import as_text

MANUAL = """\
# Shop operations

## Components

- **API**: answers the shop
- **Database**: PostgreSQL

## Looks

```bash
curl https://api.shop.example/health
curl -sI https://www.bank.example/status
curl -o /dev/null https://github.com/shop/shop
psql -c "SELECT 1"
```

## Copies

```bash
NAME=shop-$(date +%F)
shop-dump "$SHOP_URL" > "$NAME"
upload --to "$BUCKET" "$NAME"
```

## Console

```bash
kubectl exec -it deployment/api -- bash
```
"""


def shop() -> Import:
    return make([("shop.md", MANUAL)], catalogue(), _mistakes)


def test_every_variable_stands_once_in_one_file_with_what_reads_it() -> None:
    made = shop()
    assert [one.name for one in made.openings] == ["API_URL", "DATABASE_URL", "BANK_URL", "SHOP_URL", "BUCKET"]
    text = made.files["addresses.env.example"]
    assert "\n#API_URL=https://api.shop.example\n" in text, "what the manual says holds unless somebody says otherwise"
    assert "postgresql://USER:PASSWORD@HOST:5432/DATABASE\nDATABASE_URL=\n" in text
    assert "# procedure copies\nBUCKET=\n" in text


def test_an_address_of_others_that_is_only_looked_at_is_a_component() -> None:
    parts = shop().inventory.parts
    assert (parts["bank"].kind, parts["bank"].keys["health"]) == ("http", "/status")
    assert not [name for name in parts if "github" in name]


def test_the_report_says_which_procedures_can_run_and_what_the_others_need() -> None:
    data = report(shop())
    told = {one["name"]: (one["as_imported"], one["needs"]) for one in data["procedures"]}
    assert told["looks"] == ("runs", [])
    assert told["console"] == ("by hand", [])
    state, needs = told["copies"]
    assert (state, needs[:2]) == ("needs", ["the programs shop-dump, upload", "SHOP_URL, BUCKET"])
    assert "3 procedures: 1 can run as imported, 1 need more, 1 are for persons alone" in as_text(data)
    assert "copies needs the programs shop-dump, upload" in as_text(data)
    assert "can run" in as_html(data) and "addresses.env.example" in as_html(data)
