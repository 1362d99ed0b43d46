"""What holds a secret, reached over the connections of a system."""

from __future__ import annotations

from opsbook.book.system import System
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.contract import Connections
from opsbook.connectors.held.contract import Held
from opsbook.connectors.held.files import InFile
from opsbook.connectors.held.kubernetes_secrets import InSecret, Secret
from opsbook.connectors.held.places import Written
from opsbook.errors import OpsbookError, Refused


def opened(system: System, connections: Connections, written: Written) -> Held:
    """Raises Refused where the environment has no Secrets."""
    if written.scheme != "secret":
        path = system.path(written.where)
        return InFile(path.resolve() if path.is_symlink() else path)
    try:
        kubernetes = kubernetes_of(connections.runtime)
    except OpsbookError as error:
        raise Refused(f"secret:{written.where}: {error.message}", error.hint) from error
    return InSecret(Secret(kubernetes, written.where), written.key)
