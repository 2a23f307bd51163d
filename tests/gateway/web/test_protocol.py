"""Connections that misbehave: each costs little, ends in time, and none is taken for another's request."""

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace

import pytest

from gateway.web.admission import Admission, Targets
from gateway.web.app import App
from gateway.web.body import Budget, Pace
from gateway.web.listening import Deadlines, http_server
from gateway.web.protocol import MAX_HEAD, MAX_HEADERS, MAX_PIPELINE

pytestmark = pytest.mark.anyio

KEY = b"write-key-of-the-shop"
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Write-Key: %b\r\nContent-Type: application/json\r\n" % KEY
EVENT = b'{"event_name": "Lead", "event_id": "%d"}'


def posted(number, more=b""):
    event = EVENT % number
    return HEAD + more + b"Content-Length: %d\r\n\r\n" % len(event) + event


@asynccontextmanager
async def serving(service, **changes):
    times = Deadlines(headers_s=0.4, body_s=0.4, read_s=0.4, idle_s=1, drain_s=1)
    service.pace = Pace(first_s=times.body_s)
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        server = http_server(App(service), times)
        server.config.load()
        for name, value in changes.items():
            limits = server.config.http_protocol_class.limits
            object.__setattr__(limits, name, value)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running


async def talk(port, data, *, within=5.0):
    """Send bytes; returns everything that comes until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await asyncio.wait_for(_all(reader), within)
    finally:
        writer.close()


async def _all(reader):
    data = b""
    with suppress(ConnectionResetError):
        while chunk := await reader.read(65536):
            data += chunk
    return data


def statuses(answers):
    return [int(one[:3]) for one in answers.split(b"HTTP/1.1 ")[1:]]


def problem(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    return json.loads(body)


MALFORMED = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    "noise": bytes(range(256)) * 4,
    "no method": b" / HTTP/1.1\r\n\r\n",
    "absurd method": b"HACK /v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "not ascii": b"POST /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "version": b"POST /v1/events HTTP/9.9\r\nHost: x\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
    "equal lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "chunks not last": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "signed length": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "hex length": HEAD + b"Content-Length: 0x2\r\n\r\n{}",
    "endless length": HEAD + b"Content-Length: %b\r\n\r\n{}" % (b"9" * 40),
    "blank before colon": b"POST /v1/events HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded": HEAD + b"X-Folded: a\r\n b\r\nContent-Length : 2\r\n\r\n{}",
    "chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "huge chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n%b\r\n" % (b"F" * 40),
    "nul in header": HEAD + b"X-Nul: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "bare cr": HEAD + b"X-Cr: a\rb\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(service, stored, name):
    async with serving(service) as port:
        answer = await talk(port, MALFORMED[name] + posted(1))  # the second request must not be seen
        assert statuses(answer) in ([400], [408]), answer
        assert problem(answer)["status"] == statuses(answer)[0]
    assert stored() == []


@pytest.mark.parametrize(
    "head",
    [
        b"X-Flood: 1\r\n" * (MAX_HEADERS + 1),
        b"X-Flood: 1\r\n" * 100_000,
        b"Cookie: %b\r\n" % (b"a" * 2 * MAX_HEAD),
        b"X-%b: 1\r\n" % (b"a" * 1_000_000),
        b"Cookie: " + b"a" * 3_000_000,  # never ends
    ],
    ids=["many", "100000", "huge cookie", "huge name", "endless"],
)
async def test_a_flood_of_headers_is_431(service, head):
    async with serving(service) as port:
        answer = await talk(port, HEAD + head + b"Content-Length: 2\r\n\r\n{}")
        # what is still being sent when the connection closes may cost the answer
        assert statuses(answer) == [431] or (answer == b"" and len(head) > 500_000)
        if answer:
            assert problem(answer)["code"] == "headers_too_large"


async def test_a_huge_url_is_431_and_an_absurd_one_404(service):
    async with serving(service) as port:
        huge = await talk(port, b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 2 * MAX_HEAD))
        assert statuses(huge) == [431]
        close = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        for url in (
            b"/%00%0d%0a",
            b"//../../etc/passwd",
            b"http://other.example/v1/nothing",
            b"/v1/events/",
            b"/%ff",
            b"*",
        ):
            assert statuses(await talk(port, b"GET " + url + close)) == [404], url


async def test_what_stands_behind_a_chunked_body_is_no_header(service, stored):
    body = b"%x\r\n%b\r\n0\r\nX-Write-Key: other\r\nX-Forwarded-For: 203.0.113.99\r\n\r\n" % (len(EVENT % 1), EVENT % 1)
    async with serving(service) as port:
        answer = await talk(port, HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body)
        assert statuses(answer) == [202]
        endless = b"0\r\n" + b"X-Trailer: %b\r\n" % (b"a" * 1000) * 3000
        answer = await talk(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + endless)
        assert answer == b"" or statuses(answer) == [431]
    assert len(stored()) == 1


async def test_chunks_that_drip_end_in_time(service, stored):
    async with serving(service) as port:
        started = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        answer = asyncio.create_task(_all(reader))
        while not answer.done():
            writer.write(b"1;extension=aaaaaaaa\r\n{\r\n")
            await asyncio.sleep(0.05)
        assert statuses(await answer) == [408]
        assert time.monotonic() - started < 3
        writer.close()
    assert stored() == []


async def test_pipelined_requests_are_answered_in_order_and_a_flood_of_them_is_cut_off(service, stored):
    async with serving(service) as port:
        last = posted(9, b"Connection: close\r\n")
        assert statuses(await talk(port, b"".join(map(posted, range(9))) + last)) == [202] * 10
        # a bad one behind good ones: the answers to the good ones may be lost, not mistaken
        answer = await talk(port, posted(10) + b"HACK / HTTP/1.1\r\n\r\n")
        assert set(statuses(answer)) <= {202}
        flood = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000
        assert len(statuses(await talk(port, flood))) <= MAX_PIPELINE + 1
    assert len(stored()) >= 10


async def test_a_client_that_does_not_read_is_cut_off(service):
    # answers much larger than the buffers of both sides
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    async with serving(service) as port:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        with closing(deaf):
            await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", port))
            began = time.monotonic()
            with pytest.raises(OSError):  # noqa: PT012
                while time.monotonic() - began < 10:
                    with suppress(BlockingIOError):
                        deaf.send(ask * 8)
                    await asyncio.sleep(0.05)
            assert time.monotonic() - began < 8
        assert statuses(await talk(port, posted(1, b"Connection: close\r\n"))) == [202]


async def test_half_open_and_idle_connections_are_closed(service):
    async with serving(service) as port:
        began = time.monotonic()
        assert await talk(port, b"") == b""  # never a byte
        assert statuses(await talk(port, posted(1))) == [202]  # idle after an answer
        assert time.monotonic() - began < 5


async def test_an_upgrade_is_not_given_and_not_mistaken(service, stored):
    async with serving(service) as port:
        for protocol in (b"websocket", b"h2c"):
            asked = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol
            answer = await talk(port, posted(1, asked))
            assert statuses(answer) == [400], answer  # the parser takes no body along with an upgrade
            assert b"connection: close" in answer
    assert stored() == []


async def test_past_the_limit_a_request_is_429_with_an_integer_and_the_connection_lives(service, stored):
    service.budget.admission.limit = 0
    async with serving(service, headers_s=5.0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(3):
            writer.write(posted(number))
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length:")[2].split()[0])
            body = json.loads(await reader.readexactly(length))
            assert head.startswith("HTTP/1.1 429 Too Many Requests\r\n")
            assert int(head.lower().partition("retry-after:")[2].split("\r\n")[0]) in (1, 2, 3)
            assert body["code"] == "overloaded"
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")  # a probe is answered
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await reader.readexactly(15)
        service.budget.admission.limit = 10
        writer.write(posted(7, b"Connection: close\r\n"))
        assert statuses(await _all(reader)) == [202]
        writer.close()
    assert len(stored()) == 1
    assert b'gateway_faults_total{about="request",code="overloaded"} 3.0' in service.metrics.text()


async def test_one_that_asks_before_it_sends_its_body_is_refused_without_waiting_for_it(service):
    service.budget.admission.limit = 0
    async with serving(service) as port:
        head = HEAD + b"Expect: 100-continue\r\nContent-Length: 50\r\n\r\n"
        answer = await talk(port, head)
        assert statuses(answer) == [429]
        assert b"connection: close" in answer


@pytest.mark.parametrize(("origin", "named"), [("https://shop.example", True), ("https://other.example", False)])
@pytest.mark.parametrize("keep", [True, False], ids=["alive", "closed"])
async def test_past_the_limit_a_page_may_read_that_and_when_to_come_back(service, origin, named, keep):
    service.budget.admission.limit = 0
    settings = service.effective.settings
    sources = {name: one for name, one in settings.sources.items() if "*" not in one.origins}
    service.effective = replace(service.effective, settings=replace(settings, sources=sources))
    ask = f"POST /v1/collect?key=k HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nContent-Length: 2\r\n"
    async with serving(service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((ask + ("" if keep else "Connection: close\r\n") + "\r\n{}").encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        writer.close()
    assert head.startswith("http/1.1 429 ")
    assert head.partition("retry-after: ")[2][0] in "123"
    assert "vary: origin" in head
    assert (f"access-control-allow-origin: {origin}" in head) is named
    assert ("access-control-expose-headers: retry-after" in head) is named


async def test_bodies_under_way_take_no_place_and_are_refused_when_there_is_none_at_their_end(service, stored):
    admission = service.budget.admission
    admission.limit = 1
    async with serving(service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(posted(1)[:-4])
        async with asyncio.timeout(5):
            while not admission.waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not admission.full
        assert statuses(await talk(port, posted(2, b"Connection: close\r\n"))) == [202]
        admission.limit = 0
        writer.write(posted(1)[-4:])
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 429 ")
        writer.close()
    assert admission.waiting == 0
    assert len(stored()) == 1


async def test_past_the_number_of_connections_the_next_is_429_and_those_far_past_it_are_closed(service):
    async with serving(service, connections=8) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        await asyncio.sleep(0.05)
        answer = await talk(port, posted(1))
        assert statuses(answer) == [429]
        assert problem(answer)["code"] == "too_many_connections"
        assert b"retry-after: 5" in answer
        held += [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert await talk(port, posted(2)) == b""
        for _, writer in held:
            writer.close()


class TestTheLimit:
    def made(self, **targets):
        self.now = 0.0
        return Admission(Targets(**targets), clock=lambda: self.now)

    def answer(self, admission, seconds, *, count=100, refused=0):
        for _ in range(refused):
            admission.refused()
        for _ in range(count - 1):
            admission.answered(seconds)
        self.now += 0.3
        admission.answered(seconds)

    def test_falls_while_answers_are_late_and_rises_again_when_they_are_not(self):
        admission = self.made(first=500)
        for _ in range(20):
            self.answer(admission, 1.0, refused=10)
        assert admission.limit == Targets().least
        for _ in range(60):
            self.answer(admission, 0.01, refused=10)
        assert admission.limit > 500

    def test_stays_where_nobody_is_refused_and_where_a_few_answers_are_late(self):
        admission = self.made(first=500)
        self.answer(admission, 0.01)
        assert admission.limit == 500
        for _ in range(95):
            admission.answered(0.01)
        self.answer(admission, 0.9, count=5, refused=10)
        assert admission.limit == 500

    def test_never_passes_its_bounds(self):
        admission = self.made(first=500, most=600)
        for _ in range(20):
            self.answer(admission, 0.01, refused=1)
        assert admission.limit == 600

    def test_counts_those_at_work_without_those_that_wait_for_their_sender(self):
        admission = Budget().admission
        admission.tasks, admission.limit = range(10), 8
        assert admission.full
        admission.waiting = 3
        assert not admission.full
