"""Paths into objects, and targets of managed databases, that cannot be what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_KEY = re.compile(r"\{\.data\.[\w-]+\.[\w.-]+\}|\{\.metadata\.(?:annotations|labels)\.[\w-]+\.[\w./-]+\}")


@rule(
    "OB364",
    "key-with-a-dot",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A key with a dot in a jsonpath, its dot not escaped",
    reason="jsonpath reads tls.crt as the field crt of tls. The answer is empty, and no error says so.",
    source="https://kubernetes.io/docs/reference/kubectl/jsonpath/",
    bad=sh("kubectl get secret web-tls -n shop -o jsonpath='{.data.tls.crt}' | base64 -d"),
    good=sh("kubectl get secret web-tls -n shop -o jsonpath='{.data.tls\\.crt}' | base64 -d"),
)
def key_with_a_dot(context: Context) -> Iterator[Fault]:
    """.data.A.B of a Secret or ConfigMap, whose values have no fields; annotations and labels with a domain."""
    for step in context.calls("kubectl", "get"):
        text = step.command.text
        if "jsonpath" not in text or not re.search(r"secret|configmap|\bcm\b|annot|label", text):
            continue
        for word in step.command.argv:
            found = _KEY.search(word.text)
            if found:
                yield Fault(step.at(word), f"{found[0]}: a dot inside a key is written \\.", Fix("{.data.tls\\.crt}"))


_TARGETS = (
    ("--source-db-instance-identifier", "--target-db-instance-identifier"),
    ("--source-db-cluster-identifier", "--db-cluster-identifier"),
)


@rule(
    "OB365",
    "restored-onto-itself",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A managed database restored under the name of the one it comes from",
    reason="RDS makes a new instance from a snapshot or a point in time; a name that is taken is refused.",
    source="https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIT.html",
    bad=sh(
        "aws rds restore-db-instance-to-point-in-time --source-db-instance-identifier shop "
        "--target-db-instance-identifier shop --use-latest-restorable-time"
    ),
    good=sh(
        "aws rds restore-db-instance-to-point-in-time --source-db-instance-identifier shop "
        "--target-db-instance-identifier shop-restored --use-latest-restorable-time"
    ),
)
def restored_onto_itself(context: Context) -> Iterator[Fault]:
    """Source and target of the same name, or a snapshot restored under a name that other commands change."""
    for step in context.calls("aws"):
        call = step.call
        if call is None or not call.verb.startswith("rds restore-"):
            continue
        for source, target in _TARGETS:
            if call.value(source) and call.value(source) == call.value(target):
                yield Fault(step.place, f"{call.value(target)} is taken: a restore makes a new instance")
        name = call.value("--db-instance-identifier")
        if name and "from-db-snapshot" in call.verb and _in_use(context, name):
            yield Fault(step.place, f"{name} is taken: a restore makes a new instance")


def _in_use(context: Context, name: str) -> bool:
    """Whether the manual makes snapshots of an instance or connects to it, and never renames or deletes it."""
    others = [s.command.text for s in context.calls("aws") if name in s.words and "restore-db" not in s.command.text]
    gone = any(re.search(r"delete-db-instance|new-db-instance-identifier", text) for text in others)
    return any("create-db-snapshot" in text for text in others) and not gone
