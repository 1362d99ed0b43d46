"""What is run, opened or believed without looking: moving tags, scripts from the network, unverified TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB634",
    "mutable-tag",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="An image is deployed by a tag that moves",
    reason=(
        "latest or stable is another image tomorrow: what ran cannot be told, a rollback has "
        "nothing to go back to, and setting the same tag again starts no rollout."
    ),
    source="https://kubernetes.io/docs/concepts/containers/images/#image-names",
    bad=sh("kubectl set image deployment/api api=registry.shop.internal/api:latest"),
    good=sh("kubectl set image deployment/api api=registry.shop.internal/api:1.8.2"),
)
def mutable_tag(context: Context) -> Iterator[Fault]:
    """set image, docker pull/run/scan and helm --set of own images with latest, stable, main …; manifests too."""
    for step in context.steps:
        call = step.call
        if call is None or call.tool not in ("kubectl", "docker", "helm"):
            continue
        if call.verb not in (
            "set image",
            "pull",
            "push",
            "run",
            "scan",
            "service update",
            "upgrade",
            "create",
            "service create",
            "create deployment",
            "build",
            "image pull",
            "tag",
            "image tag",
        ):
            continue
        for word in step.command.argv[1:]:
            found = re.search(
                r"(?:^|=)((?:[\w.${}-]+(?::\d+)?/)*[\w.-]+):(latest|stable|main|master|prod|production|current)$",
                word.text,
            )
            if (
                found
                and call.verb != "build"
                and not re.search(
                    r"trivy|grype|snyk|hadolint|curlimages|busybox|aquasec|alpine|ubuntu|debian", found[1]
                )
                and (call.verb not in ("tag", "image tag") or word is call.args[-1])
            ):
                yield Fault(
                    step.at(word),
                    f":{found[2]} moves: it cannot be rolled back to or told afterwards",
                    Fix("name a version or a digest"),
                    subject=f"tag-{found[2]}",
                )
        chart = next((w for w in step.command.argv[1:] if re.search(r"image\.tag=(?:latest|stable)$", w.text)), None)
        if chart is not None:
            yield Fault(step.at(chart), "the tag moves: it cannot be rolled back to", subject="tag-chart")
    yield from _in_files(context)


_SCANS = frozenset({"trivy", "grype", "snyk", "cosign", "syft"})
_OWN_IMAGE = re.compile(r"^[\w./:-]*[\w-]+:(latest|stable)$")


def _in_files(context: Context) -> Iterator[Fault]:
    """Images of manifests, compose files (here-documents too) and Dockerfiles, and of commands that scan an image."""
    for fence in context.document.fences():
        for number, line in enumerate(fence.text.split("\n"), fence.line):
            found = re.match(r"""\s*(?:-\s*)?image:\s*["']?([\w./:-]+:(?:latest|stable))["']?\s*(?:#.*)?$""", line)
            found = found or re.match(r"FROM\s+([\w./:-]+:latest)\b", line)
            if found and not re.search(r"your-?org|alpine:|busybox:", found[1]):
                yield Fault(
                    context.place(number, found[1]),
                    f"{found[1]} moves: it cannot be rolled back to",
                    Fix("name a version or a digest"),
                    subject=found[1],
                )
    for step in context.steps:
        last = step.words[-1] if len(step.words) > 2 else ""
        if step.program in _SCANS and _OWN_IMAGE.match(last):
            yield Fault(
                step.at(step.command.argv[-1]),
                f"{last} is whatever was built last, not what runs: the scan says nothing of production",
                Fix("scan the tag or digest that is deployed"),
                subject=last,
            )


@rule(
    "OB636",
    "remote-script-piped-to-shell",
    FaultClass.INSECURE,
    Severity.HINT,
    summary="A script from the network is run unseen",
    reason="What the server sends today runs with your rights; a cut connection runs half of it.",
    source="https://www.shellcheck.net/",
    bad=sh("curl -fsSL https://get.tool.dev/install.sh | sudo bash"),
    good=sh(
        "curl -fsSLo install.sh https://get.tool.dev/install.sh\nsha256sum -c install.sh.sha256\nsudo bash install.sh"
    ),
)
def piped_to_shell(context: Context) -> Iterator[Fault]:
    """curl or wget piped into a shell."""
    for step in context.steps:
        if step.program in ("curl", "wget") and any(
            other.program in ("bash", "sh", "zsh", "sudo")
            and other.command.position > 0
            and re.match(r"(?:sudo\s+(?:-\w+\s+)*)?(?:ba|z)?sh\b", other.command.text)
            for other in step.block.pipeline(step)
        ):
            yield Fault(step.place, "runs a script from the network unseen")


@rule(
    "OB637",
    "world-writable",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="chmod 777",
    reason=(
        "Every user and every process of the host may then change the file, also one that "
        "broke in through another service."
    ),
    source="https://man7.org/linux/man-pages/man1/chmod.1.html",
    bad=sh("chmod -R 777 /var/lib/app"),
    good=sh("chown -R app:app /var/lib/app\nchmod -R u=rwX,g=rX,o= /var/lib/app"),
)
def world_writable(context: Context) -> Iterator[Fault]:
    """chmod with 777, 666 or a+w."""
    for step in context.steps:
        if (
            step.program == "chmod"
            and any(re.fullmatch(r"0?(?:777|666)|a?\+rwx|[ao]\+\w*w\w*", word) for word in step.words[1:])
            and not (len(step.words) > 2 and step.words[1] in ("+rwx",))
        ):
            yield Fault(step.place, "makes it writable for everybody", Fix("give it to the user that runs the service"))


@rule(
    "OB638",
    "tls-not-verified",
    FaultClass.INSECURE,
    Severity.HINT,
    summary="curl -k against a host that has a real certificate",
    reason="-k accepts any certificate, so the check passes when it is expired or another's.",
    source="https://curl.se/docs/manpage.html#-k",
    bad=sh("curl -k https://api.shop.com/health"),
    good=sh("curl -fsS https://api.shop.com/health"),
)
def not_verified(context: Context) -> Iterator[Fault]:
    """-k with a public name."""
    for step in context.calls("curl"):
        call = step.call
        assert call is not None
        url = next((w for w in call.words if w.startswith("https://")), "")
        if (
            call.has("-k", "--insecure")
            and url
            and not re.match(
                r"https://(?:localhost|127\.|10\.|192\.168|\[|[\w-]+[:/]|[\w.-]+\.(?:local|internal|svc|lan|test)\b|\$)",
                url,
            )
        ):
            yield Fault(step.place, "-k accepts an expired or foreign certificate")
