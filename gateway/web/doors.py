"""What the event doors have in common: a body in, the answer out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.ingest.problem import RequestRefused
from gateway.web.problem import JSON, PROBLEM, Send, document, send_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_encode = msgspec.json.Encoder().encode

#: The whole request is refused because each of its events was.
ALL_REJECTED = RequestRefused(422, "all_rejected", "every event was refused: see results")


def content_type(headers: Mapping[bytes, bytes]) -> str:
    """The body's declared type."""
    return headers.get(b"content-type", b"").decode("latin-1")


async def send_answer(send: Send, answer: dict[str, Any], headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """202 as soon as one event is on disk; 422, with the same results, when every one was refused."""
    if answer["accepted"] or answer["duplicates"]:
        await send_json(send, 202, JSON, _encode(answer), headers)
    else:
        await send_json(send, 422, PROBLEM, _encode(document(ALL_REJECTED, answer)), headers)
