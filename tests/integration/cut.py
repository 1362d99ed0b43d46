"""A way to a server that can be cut: connections that are there end, and new ones are refused, until it is joined.

It may also be slow: each piece of data is held for a while on its way.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

CHUNK = 65536


class Cut:
    """Listens on a port of loopback and carries what comes to another one."""

    def __init__(self, target: int, seconds: float = 0.0) -> None:
        """`seconds`: how long it holds each piece of data."""
        self.target, self.seconds = target, seconds
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listening: socket.socket | None = None
        self.port = 0
        self.join()

    def join(self) -> None:
        """From now on it leads there."""
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port, self._listening = listening.getsockname()[1], listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def cut(self) -> None:
        """Nobody gets through any more."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
                far = socket.create_connection(("127.0.0.1", self.target), timeout=10)
                far.settimeout(None)
            except OSError:
                return
            with self._lock:
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                time.sleep(self.seconds)
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open -= {source, sink}
        source.close()
