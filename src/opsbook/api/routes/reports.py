"""Reports for people who were not there: hand-over, day, week, month, audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Query
from starlette.responses import Response

from opsbook.api.doors import Door, Visit, let_in, needs, shown, subject
from opsbook.api.parameters import Seconds
from opsbook.errors import UsageError
from opsbook.watch.reports.data import as_json
from opsbook.watch.reports.facts import Facts, gather
from opsbook.watch.reports.pages import as_html, as_markdown
from opsbook.watch.reports.spans import Kind, Span, span_of

router = subject("status")
LONGEST = timedelta(days=366)
FORMS = {
    "json": (as_json, "application/json"),
    "html": (as_html, "text/html; charset=utf-8"),
    "markdown": (as_markdown, "text/markdown; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none';"
    " base-uri 'none'; form-action 'none'"
}


@router.get("/reports/{kind}", responses=shown({"kind": "handover", "incidents": [], "checks": []}, "the report"))
def report(
    visit: Annotated[Visit, needs("viewer", "status")],
    kind: Kind,
    form: Annotated[Literal["json", "html", "markdown"], Query(alias="format")] = "json",
    since: Annotated[Seconds | None, Query(description="its own span back from now where left out")] = None,
) -> Response:
    """A report until now, as `opsbook report` writes it. That of the audit chain takes the scope `audit` too."""
    if kind == "audit":
        let_in(visit.house, visit.caller, Door("viewer", "audit"), visit.environment, whole=True)
    system, now = visit.known, visit.setting.clock.now()
    span = span_of(kind, now, str(system.model.timezone))
    if since is not None:
        span = Span(datetime.fromtimestamp(since, UTC), now)
        if not timedelta(0) < span.length <= LONGEST:
            raise UsageError("a report is about at most a year, until now", "give `since` within it")
    facts: Facts = gather(visit.setting, system, kind, span)
    make, media = FORMS[form]
    return Response(make(facts).encode("utf-8", "replace"), headers=HEADERS, media_type=media)
