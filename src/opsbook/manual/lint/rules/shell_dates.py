"""Names with a date in them that are worked out twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.facts.writing import local_files
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_MOMENT = re.compile(r"\$\(\s*date\s[^)]*%(?:[SsTNRM]|-S)[^)]*\)|`date\s[^`]*%[SsTNM][^`]*`")


@rule(
    "OB127",
    "date-asked-twice",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A file is named by the second it was made in, and looked for by a later one",
    reason=(
        "Each $(date …) is the time of its own command. The dump takes a while, so the second name is another one: "
        "no such file."
    ),
    source="https://www.gnu.org/software/bash/manual/html_node/Command-Substitution.html",
    bad=sh(
        "pg_dump -Fc shop > shop-$(date +%Y%m%d-%H%M%S).dump\n"
        "aws s3 cp shop-$(date +%Y%m%d-%H%M%S).dump s3://shop-backups/"
    ),
    good=sh(
        "NOW=$(date +%Y%m%d-%H%M%S)\npg_dump -Fc shop > shop-$NOW.dump\naws s3 cp shop-$NOW.dump s3://shop-backups/"
    ),
)
def date_asked_twice(context: Context) -> Iterator[Fault]:
    """A name with minutes or seconds that one step writes and a later one of the block reads."""
    for block in context.scripts:
        written: set[str] = set()
        for step in block.steps:
            for name in _read(step):
                if name in written:
                    yield Fault(step.place, f"{name} is another name by now", Fix("keep the date in a variable"))
            written |= {name.strip("\"'") for name in local_files(step) if _MOMENT.search(name)}


def _read(step: Step) -> Iterator[str]:
    written = {name.strip("\"'") for name in local_files(step)}
    for word in step.command.argv[1:]:
        text = word.text.strip("\"'")
        if _MOMENT.search(text) and text not in written:
            yield text
    for redirect in step.command.redirects:
        if redirect.operator == "<" and _MOMENT.search(redirect.target.text):
            yield redirect.target.text.strip("\"'")
