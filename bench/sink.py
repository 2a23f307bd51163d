"""A platform that takes everything: reads a request, answers as each platform does when all is well.

python -m bench.sink PORT
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

ANSWERS = {
    b"/meta": {"events_received": 1, "messages": [], "fbtrace_id": "sink"},
    b"/tiktok": {"code": 0, "message": "OK", "request_id": "sink", "data": {}},
    b"/google/token": {"access_token": "sink", "expires_in": 3600, "token_type": "Bearer"},
    b"/google": {"requestId": "sink"},
    b"/pinterest": {"num_events_received": 1, "num_events_processed": 1, "events": []},
    b"/snapchat": {"status": "VALID", "reason": "sink"},
}


class Sink(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.chunks: list[bytes] = []
        self.head, self.missing = b"", -1

    def data_received(self, data: bytes) -> None:
        if self.missing < 0:
            self.head += data
            head, mark, rest = self.head.partition(b"\r\n\r\n")
            if not mark:
                return
            self.path = head.split(b" ", 2)[1]
            length = head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]
            self.missing = int(length or 0) - len(rest)
            self.count = rest.count(b'"event_id"')
        else:
            self.missing -= len(data)
            self.count += data.count(b'"event_id"')
        if self.missing <= 0:
            self.answer()

    def answer(self) -> None:
        found = next((body for prefix, body in ANSWERS.items() if self.path.startswith(prefix)), {})
        if self.path.startswith(b"/pinterest"):
            found = {**found, "events": [{"status": "processed", "error_message": ""}] * self.count}
        body = json.dumps(found).encode()
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        self.head, self.missing = b"", -1


async def main(port: int) -> None:
    """Serve until ended."""
    listening = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
