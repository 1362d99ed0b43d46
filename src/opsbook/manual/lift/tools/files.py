"""Programs that work on files of the machine on which they are typed: no component of a book."""

from __future__ import annotations

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.harmless import only_looks
from opsbook.manual.lift.model import Why
from opsbook.manual.lift.registry import lifts


@lifts(
    "cp",
    "mv",
    "rm",
    "mkdir",
    "rmdir",
    "tar",
    "gunzip",
    "zip",
    "unzip",
    "find",
    "sed",
    "chmod",
    "chown",
    "touch",
    "ln",
    "tee",
    "rsync",
    "scp",
    "truncate",
    "dd",
    "gpg",
    "cat",
    "git",
    "apt",
    "apt-get",
    "yum",
    "dnf",
    "pip",
    "pip3",
    "npm",
    "yarn",
    "pnpm",
    "go",
    "make",
    "helm",
    "terraform",
    "tofu",
    "ansible-playbook",
    "gcloud",
    "az",
    "ssh",
    "crontab",
    "ufw",
    "iptables",
    "sysctl",
    "vi",
    "vim",
    "nano",
)
def elsewhere(use: Use) -> Lifted:
    if use.inside is not None or only_looks(use.command):
        return None
    if use.command.program in ("vi", "vim", "nano"):
        return Stay(Why.INTERACTIVE, "it opens an editor")
    return Stay(Why.ELSEWHERE, "it addresses files, packages or infrastructure, not a component of the book")
