"""How a small service of the tests serves: a program that defines `Answer` ends with this."""

from __future__ import annotations

UNTIL_ASKED = """\
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False
server = Server(("", 8000), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
"""
"""On port 8000, until SIGTERM; what was begun is answered first."""
