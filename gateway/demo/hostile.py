"""A platform at its worst, on real sockets, and a suite that holds a destination against all that it does.

    TestAcmeUnderFire = under_fire(ACME, {"account": "7", "token": "made-up"})

Each behaviour is a row of `BEHAVIOURS`: what the server does to the connection, and what may be made of it. The suite
needs the `test` extra and nothing else; every server stops at the end of its test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.model.delivery import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.delivery.sender import Answered
    from gateway.plugin import Destination

#: What a behaviour is given: where the request comes from, where the answer goes to.
Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

#: The deadline for one attempt in the suite, in seconds: what never ends is waited for so long.
TIMEOUT_S = 0.5
#: What the suite waits for beyond that, in seconds, before it takes a request for stuck.
PATIENCE_S = 20.0

_RETRY = frozenset({Kind.RETRY})
#: What a plugin may make of an answer that its platform does not give; never that all of a batch is hopeless.
_ANY = frozenset(Kind) - {Kind.REJECT}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the server does, and what may be made of it."""

    act: Act
    #: The kinds of verdict that a plugin may give for a request with several events.
    kinds: frozenset[Kind] = _RETRY
    #: The request counts as one that may have arrived without its answer being seen; `None`: its answer was seen.
    unseen: bool | None = None
    #: Our own code where there was no answer to judge.
    code: str = ""
    #: The least and the most that is waited, in seconds, where the platform says so.
    after_s: tuple[float, float] | None = None


async def _request(reader: asyncio.StreamReader, share: float = 1.0) -> None:
    """Read a request, or the first part of its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    await reader.readexactly(int(length * share))


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection as a crash does: unread or not, the other side gets a reset."""
    writer.transport.abort()


async def _at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    _reset(writer)


async def _speaks_first(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ready\r\n")
    await writer.drain()


#: What does not wait for a request.
_UNASKED = (_at_once, _speaks_first)


async def _after_part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, share: float) -> None:
    await _request(reader, share)
    _reset(writer)


async def _says(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, what: bytes, then: str = "close"
) -> None:
    """Answer with these bytes; then close in order, `reset`, or keep `silent`."""
    await _request(reader)
    writer.write(what)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    if then == "reset":
        _reset(writer)
    elif then == "silent":
        await asyncio.sleep(PATIENCE_S)


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, head: bytes, piece: bytes) -> None:
    await _request(reader)
    writer.write(head)
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, what: bytes) -> None:
    await _request(reader)
    with contextlib.suppress(ConnectionError):
        for at in range(len(what)):
            writer.write(what[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0.05)


def _answer(status: int, body: bytes = b"{}", kind: str = "application/json", **headers: str) -> Act:
    lines = [f"HTTP/1.1 {status} Hostile", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines.append("Connection: close")  # said, as it is done: else the next request may run into the end of this one
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return partial(_says, what="\r\n".join([*lines, "", ""]).encode() + body)


def _limited(retry_after: str) -> Act:
    return _answer(429, b'{"error": "too many"}', Retry_After=retry_after)


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_HTML = b"<html><body><h1>Bad gateway</h1></body></html>"
_BROKEN = Behaviour(partial(_after_part, share=1.0), unseen=True, code="protocol")
_TEN_DAYS, _A_DAY = 10 * 86_400, 86_400.0
_NOT_TAKEN = _ANY - {Kind.DELIVERED}

BEHAVIOURS: Mapping[str, Behaviour] = {
    "reset on accept": Behaviour(_at_once, unseen=True, code="protocol"),
    "reset after the headers": Behaviour(partial(_after_part, share=0.0), unseen=True, code="protocol"),
    "reset in the request's body": Behaviour(partial(_after_part, share=0.5), unseen=True, code="protocol"),
    "reset before the answer": _BROKEN,
    "reset in the status line": Behaviour(
        partial(_says, what=b"HTTP/1.1 20", then="reset"), unseen=True, code="protocol"
    ),
    "reset in the headers": Behaviour(partial(_says, what=_OK, then="reset"), unseen=True, code="protocol"),
    "reset in the answer's body": Behaviour(
        partial(_says, what=_OK + b'Content-Length: 900\r\n\r\n{"a', then="reset"), unseen=True, code="protocol"
    ),
    "closed before the body is whole": Behaviour(
        partial(_says, what=_OK + b'Content-Length: 900\r\n\r\n{"a'), unseen=True, code="protocol"
    ),
    "no answer": Behaviour(partial(_says, what=b"", then="silent"), unseen=True, code="timeout"),
    "half an answer, then silence": Behaviour(
        partial(_says, what=_OK + b"Content-Length: 9\r\n\r\n{", then="silent"), unseen=True, code="timeout"
    ),
    "a byte now and then": Behaviour(partial(_drip, what=_OK + b"X-Drip: 1\r\n" * 900), unseen=True, code="timeout"),
    "endless headers": Behaviour(partial(_endless, head=_OK, piece=b"X-More: " + b"x" * 4000 + b"\r\n"), unseen=True),
    "an endless body": Behaviour(
        partial(_endless, head=_OK + b"Transfer-Encoding: chunked\r\n\r\n", piece=b"1000\r\n" + b"x" * 4096 + b"\r\n"),
        kinds=_ANY,
    ),
    "not HTTP": Behaviour(partial(_says, what=b"SSH-2.0-OpenSSH_9.2\r\n"), unseen=True, code="protocol"),
    "429, seconds": Behaviour(_limited("7"), after_s=(7, 7 + 3600)),
    "429, a date": Behaviour(_limited(formatdate(4_102_444_800, usegmt=True)), after_s=(_A_DAY, _A_DAY)),
    "429, a date that is past": Behaviour(_limited(formatdate(0, usegmt=True))),
    "429, garbage": Behaviour(_limited("soon")),
    "429, negative": Behaviour(_limited("-5")),
    "429, ten days": Behaviour(_limited(str(_TEN_DAYS)), after_s=(_A_DAY, _A_DAY)),
    "429, nothing said": Behaviour(_answer(429)),
    "500": Behaviour(_answer(500)),
    "502 with HTML": Behaviour(_answer(502, _HTML, "text/html")),
    "503 for an hour": Behaviour(_answer(503, b"", Retry_After="3600"), after_s=(3600, 3600)),
    "504, no body": Behaviour(_answer(504, b"")),
    "200 with HTML": Behaviour(_answer(200, _HTML, "text/html"), kinds=_ANY),
    "200 with half of JSON": Behaviour(_answer(200, b'{"events_received": 3, "mess'), kinds=_ANY),
    "200 with an error inside": Behaviour(_answer(200, b'{"error": {"code": 1, "message": "no"}}'), kinds=_ANY),
    "204": Behaviour(partial(_says, what=b"HTTP/1.1 204 No Content\r\n\r\n"), kinds=_ANY),
    **{
        f"{status} to somewhere else": Behaviour(_answer(status, b"", Location="/stolen"), kinds=_NOT_TAKEN)
        for status in (301, 302, 303, 307, 308)
    },
    "418": Behaviour(_answer(418, b"short and stout", "text/plain"), kinds=_NOT_TAKEN),
}


class HostilePlatform:
    """One server on a free port of this machine that behaves in one way, until the end of the block.

    Requests to an address that ends in `/token` are answered well: what is under fire is what the token is for.
    """

    def __init__(self, act: Act) -> None:
        self._act = act
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="hostile-platform")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.port = 0
        #: The first line of each request, `` for one that did not come so far.
        self.requests: list[str] = []

    def __enter__(self) -> HostilePlatform:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def base_url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.01)  # for the sockets to be closed

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await self._first_line(reader)
        self.requests.append(first)
        try:
            if first.partition("?")[0].partition(" HTTP")[0].endswith("/token"):
                token = {"access_token": "made-up-token-of-the-hostile", "expires_in": 3600, "token_type": "Bearer"}
                await _answer(200, json.dumps(token).encode())(reader, writer)
            else:
                await self._act(reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError):  # the other side has had enough
            return
        finally:
            writer.close()

    async def _first_line(self, reader: asyncio.StreamReader) -> str:
        """Look at the first line, which stays to be read: for its address, and for who resets before it came."""
        if self._act in _UNASKED:
            return ""
        with contextlib.suppress(OSError, EOFError):
            line = await reader.readuntil(b"\r\n")
            reader._buffer[:0] = line  # type: ignore[attr-defined]  # put back: asyncio has no way to look ahead
            return line.decode("latin-1").strip()
        return ""


def under_fire(destination: Destination, config: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> type:
    """A test class that sends three events to each `Behaviour`, and holds the verdict against it.

    `config`: the plugin's keys, as in gateway.toml, secrets made up. `event`: a canonical event that the destination
    takes, an ordinary purchase where it is left out.
    """
    import pytest

    class UnderFire:
        @pytest.mark.parametrize("name", BEHAVIOURS)
        def test_is_judged_right(self, name: str, tmp_path: Path) -> None:
            behaviour = BEHAVIOURS[name]
            with HostilePlatform(behaviour.act) as platform:
                answered = _sent(destination, config, event or PURCHASE, platform.base_url, tmp_path)
            if behaviour.act is _at_once and "token_url" in config:  # what was reset had only asked for a token
                behaviour = replace(behaviour, unseen=False)
            check(behaviour, answered)
            assert not any("/stolen" in one for one in platform.requests), "a redirect was followed"

        def test_a_platform_that_is_not_there_has_nothing(self, tmp_path: Path) -> None:
            with HostilePlatform(_at_once) as platform:
                gone = platform.base_url
            answered = _sent(destination, config, event or PURCHASE, gone, tmp_path)
            assert not answered.unseen
            assert [one.kind for one in _each(answered)] == [Kind.RETRY]

        def test_plain_text_where_tls_is_due_has_nothing(self, tmp_path: Path) -> None:
            with HostilePlatform(_speaks_first) as platform:
                secure = platform.base_url.replace("http:", "https:")
                answered = _sent(destination, config, event or PURCHASE, secure, tmp_path)
            assert not answered.unseen
            assert [one.kind for one in _each(answered)] == [Kind.RETRY]

    UnderFire.__name__ = f"Test{destination.name.title()}UnderFire"
    return UnderFire


#: An event that every bundled destination takes.
PURCHASE: Mapping[str, Any] = {
    "event_name": "Purchase",
    "event_source_url": "https://shop.example/thank-you",
    "user_data": {
        "email": "jane.doe@example.com",
        "phone": "+12125550142",
        "client_ip_address": "203.0.113.10",
        "client_user_agent": "Mozilla/5.0",
    },
    "custom_data": {"value": 59.98, "currency": "USD", "order_id": "10042"},
    "consent": {"region": "US"},
}


def check(behaviour: Behaviour, answered: Answered) -> None:
    """Hold what was made of a behaviour against it. Raises `AssertionError`."""
    verdicts = list(_each(answered))
    assert {one.kind for one in verdicts} <= behaviour.kinds, verdicts
    assert answered.tried
    assert answered.unseen == bool(behaviour.unseen), f"unseen is {answered.unseen}"
    if behaviour.unseen is not None:
        assert answered.silent
    if behaviour.code:
        assert {one.code for one in verdicts} == {behaviour.code}
    if behaviour.code == "timeout":
        assert "our timeout" in verdicts[0].message
    if behaviour.after_s is not None:
        least, most = behaviour.after_s
        assert all(least <= (one.after_s or 0.0) <= most for one in verdicts), verdicts


def _each(answered: Answered) -> Iterator[Any]:
    given = answered.verdict
    yield from [given] if not isinstance(given, list | tuple) else given


def _sent(
    destination: Destination, config: Mapping[str, Any], event: Mapping[str, Any], base_url: str, folder: Path
) -> Answered:
    """Three events on their way to the platform as the lanes send them, without an outbox."""
    from gateway.config import load
    from gateway.delivery.claims import Claim, Claimer, read_decision
    from gateway.delivery.clock import SystemClock
    from gateway.delivery.dispatcher import transport_for
    from gateway.delivery.sender import Sender
    from gateway.ingest.pipeline import Door
    from gateway.outbox.lanes import Stored

    file = folder / "gateway.toml"
    keys = {"plugin": destination.name, "base_url": base_url, "allow_private": True, "timeout": TIMEOUT_S}
    keys |= {"token_url": f"{base_url}/token"} if "token_url" in config else {}
    table = "\n".join(f"{key} = {_toml(value)}" for key, value in {**config, **keys}.items())
    file.write_text(f'[sources.shop]\nwrite_key = "made-up-write-key-000001"\n[destinations.one]\n{table}\n', "utf-8")
    settings = load(file, {}, lambda _: {destination.name: destination})
    door, instance, claims = Door(settings, None), settings.enabled["one"], []
    claimer, clock = Claimer(instance, door.gate), SystemClock()
    for number in range(3):
        raw = {**event, "event_id": f"order-{number}"}
        raw["custom_data"] = {**event.get("custom_data", {}), "order_id": f"{number}"}
        taken = door.take(raw, settings.sources["shop"], clock.now())
        assert taken.record is not None, taken.errors
        stored = Stored(number + 1, 1, taken.record.payload, taken.record.clear)
        claim = claimer.claim(stored, read_decision(taken.record.decision), clock.now())
        assert isinstance(claim, Claim), f"the destination does not take the event: {claim}"
        claims.append(claim)

    async def run() -> Answered:
        sender = Sender(instance, clock, transport_for(instance))
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await sender.send(claims[: instance.batch_size])
        finally:
            await sender.close()
            await asyncio.sleep(0.01)  # for the sockets to be closed

    return asyncio.run(run())


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}" = {_toml(one)}' for key, one in value.items()) + "}"
    return json.dumps(value)
