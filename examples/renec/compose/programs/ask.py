"""`ask.py URL`: exit status 0 where it answers with 200; a health check without a further program.

Plain sockets: a library for HTTP takes longer to load than the answer, ten times a minute in each container.
"""

import socket
import sys

host, _, path = sys.argv[1].removeprefix("http://").partition("/")
name, _, port = host.partition(":")
with socket.create_connection((name, int(port)), timeout=4) as connection:
    connection.sendall(f"GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    sys.exit(0 if b" 200 " in connection.recv(64) else 1)
