"""`opsbook schema`: the shape of book.yaml, for editors and for people."""

from __future__ import annotations

import click

from opsbook.cli.options import format_option


@click.command("schema")
@format_option("json", "markdown")
def command(output: str) -> int:
    """Print the JSON Schema of book.yaml (draft 2020-12), or its reference as Markdown.

    The schema knows every component kind, observation and parameter of this opsbook, so an editor completes them.
    """
    import json

    from opsbook.book.reference import book_reference
    from opsbook.book.schema import book_schema
    from opsbook.catalogue import catalogue

    schema = book_schema(catalogue())
    if output == "markdown":
        click.echo(book_reference(schema), nl=False)
    else:
        click.echo(json.dumps(schema, indent=2, ensure_ascii=False))
    return 0
