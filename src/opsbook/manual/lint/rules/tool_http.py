"""curl and the object store: requests that are not what they look like."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB340",
    "json-as-form",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="curl -d with JSON and no Content-Type",
    reason=(
        "-d sends application/x-www-form-urlencoded. Most APIs refuse the body or take it "
        "for one odd form field, and without -f curl still ends with 0."
    ),
    source="https://curl.se/docs/manpage.html#-d",
    bad=sh("curl -X POST https://api.shop.com/flags/new -d '{\"enabled\": true}'"),
    good=sh("curl -X POST https://api.shop.com/flags/new --json '{\"enabled\": true}'"),
)
def json_as_form(context: Context) -> Iterator[Fault]:
    """A body that begins like JSON, no Content-Type header; Slack's webhooks take it all the same."""
    for step in context.calls("curl"):
        call = step.call
        assert call is not None
        body = call.value("-d", "--data", "--data-raw", "--data-binary", "--data-ascii") or ""
        typed = any(re.match(r"content-type", header, re.I) for header in call.values("-H", "--header"))
        if (
            re.match(r"\s*[{\[]\s*\\?[\"{]", body)
            and not typed
            and not call.has("--json", "-K", "--config", "-G", "--get")
        ) and not re.search(r"hooks\.slack\.com|SLACK|WEBHOOK|discord|:9200|consul|vault|8500", step.command.text):
            yield Fault(
                step.place,
                "sends JSON as a form: there is no Content-Type",
                Fix("--json, or -H 'Content-Type: application/json'"),
                subject="json",
            )


@rule(
    "OB342",
    "metric-beside-the-point",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A CloudWatch metric that measures something else than the step asks",
    reason=(
        "FreeableMemory is RAM, FreeStorageSpace is disk. The step returns a figure that "
        "looks right and answers another question."
    ),
    source="https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-metrics.html",
    bad=sh(
        "# Check available storage\n"
        "aws cloudwatch get-metric-statistics --namespace AWS/RDS --metric-name "
        "FreeableMemory --period 300"
    ),
    good=sh(
        "# Check available storage\n"
        "aws cloudwatch get-metric-statistics --namespace AWS/RDS --metric-name "
        "FreeStorageSpace --period 300"
    ),
)
def metric_beside_the_point(context: Context) -> Iterator[Fault]:
    """The table of what is asked, what is measured, and what would answer."""
    for step in context.calls("aws"):
        for asked, measured, right in _MEASURES:
            if re.search(asked, step.comment, re.I) and re.search(rf"--metric-name[ =]{measured}\b", step.command.text):
                yield Fault(step.place, f"{measured} does not tell that", Fix(right))


_MEASURES = (
    (r"\b(?:storage|disk)\b", "FreeableMemory", "FreeStorageSpace"),
    (r"\bmemory\b", "FreeStorageSpace", "FreeableMemory"),
    (r"\bconnections?\b", "CPUUtilization", "DatabaseConnections"),
    (r"replica(?:tion)? lag", "ReadLatency", "ReplicaLag"),
)


@rule(
    "OB341",
    "glob-to-s3",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="aws s3 cp with a wildcard",
    reason=(
        "aws s3 cp takes one source. The shell turns the wildcard into several names and the "
        "command ends with “Unknown options”; with S3 on the left nothing expands it at all."
    ),
    source="https://docs.aws.amazon.com/cli/latest/reference/s3/#use-of-exclude-and-include-filters",
    bad=sh("aws s3 cp backup_*.sql s3://shop-backups/"),
    good=sh("aws s3 cp . s3://shop-backups/ --recursive --exclude '*' --include 'backup_*.sql'"),
)
def glob_to_s3(context: Context) -> Iterator[Fault]:
    """A * in a source or target of cp, mv or rm."""
    for step in context.calls("aws", "s3 cp", "s3 mv", "s3 rm"):
        call = step.call
        assert call is not None
        for word in call.args:
            if "*" in re.sub(r"\$\([^)]*\)|\$\{[^}]*\}", "", word.text) and not call.has("--include", "--exclude"):
                yield Fault(
                    step.at(word), "aws s3 takes no wildcards", Fix("--recursive --exclude '*' --include 'PATTERN'")
                )
