"""Where pages and mails of this example arrive: a webhook and a mail server in one process, which keep them in a file.

    python -m stack.post_office WEBHOOK_PORT SMTP_PORT FILE [ADDRESS]

Each line of the file is one message as JSON. Nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from email import message_from_bytes, policy
from pathlib import Path

LARGEST = 4 * 2**20


class Office:
    """Takes messages by both ways, and gives a receipt for each."""

    def __init__(self, file: Path) -> None:
        self.file, self.count = file, 0

    def keep(self, **message: object) -> str:
        self.count += 1
        with self.file.open("a", encoding="utf-8") as kept:
            kept.write(json.dumps({"at": time.time(), **message}, ensure_ascii=False) + "\n")
        print(f"{message['by']} {message['to']}: {message['subject']}", flush=True)
        return f"{self.count}"

    async def web(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; the connection is closed after it."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await reader.readexactly(min(int(headers.get("content-length", 0)), LARGEST))
        told: dict[str, object] = {"ready": True}
        if method == "POST":
            message = json.loads(body)
            subject = message.get("subject", "")
            told = {"receipt": self.keep(by="webhook", to=path.strip("/"), subject=subject, message=message)}
        data = json.dumps(told).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(data), data))
        await writer.drain()
        writer.close()

    async def smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As much of SMTP (RFC 5321) as a client of this machine needs."""

        async def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        to: list[str] = []
        await say("220 post office of the example")
        while line := await reader.readline():
            word = line.decode("latin-1").strip()
            verb = word.upper()
            if verb.startswith("RCPT TO:"):
                to.append(word[8:].split()[0].strip("<>"))
            if verb == "DATA":
                await say("354 go on")
                content = (await reader.readuntil(b"\r\n.\r\n"))[:-5].replace(b"\r\n..", b"\r\n.")
                mail = message_from_bytes(content, policy=policy.default)
                body = mail.get_body(("plain",))  # type: ignore[attr-defined]
                text = body.get_content() if body else ""
                number = self.keep(by="mail", to=", ".join(to), subject=str(mail["Subject"]), message=text)
                to = []
                await say(f"250 kept as {number}")
            elif verb == "QUIT":
                await say("221 good bye")
                break
            else:
                await say("250 OK")
        writer.close()


async def main(web: int, smtp: int, file: Path, address: str = "127.0.0.1") -> None:
    """Serve both until the process is ended."""
    office = Office(file)
    servers = [
        await asyncio.start_server(office.web, address, web, limit=LARGEST),
        await asyncio.start_server(office.smtp, address, smtp, limit=LARGEST),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:5]))
