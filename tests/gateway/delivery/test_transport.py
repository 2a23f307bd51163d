"""The one place that speaks HTTP to the outside."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import anyio
import httpx
import pytest

from gateway.config.addresses import is_public
from gateway.delivery.transport import ANSWER_BYTES, Prepared, Transport
from gateway.model.errors import TransportError

pytestmark = pytest.mark.anyio

PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.0 10.1.2.3 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.1.1.1 127.255.255.255
169.254.0.1 169.254.169.254 172.16.0.1 172.20.10.5 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.168.0.1
192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 250.1.1.1
255.255.255.255
:: ::1 ::2 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:192.168.1.1 ::ffff:0:0 ::ffff:7f00:1
::127.0.0.1 ::10.0.0.1 ::192.168.0.1
64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b::c0a8:1 64:ff9b:1::1 64:ff9b:1:2::10.0.0.1
100::1 2001:db8::1 2001:db8:ffff::1 2001::1 2001:2::1 2001:10::1
2002:808:808::1 2002:7f00:1:: 2002:a00:1::1 2002:c0a8:101::1 2002:a9fe:a9fe:: 2002:e000:1::
fc00::1 fd00::1 fd12:3456:789a::1 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
fe80::1 fe80::1%eth0 fe80::dead:beef febf::1 fec0::1 feff::1
ff00::1 ff02::1 ff02::2 ff05::1:3 ff0e::1 ffff::1
4000::1 5f00::1 8000::1 c000::1 e000::1 f000::1 fe00::1
""".split()

PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 31.13.72.36 93.184.215.14 100.63.255.255 100.128.0.0 126.255.255.255
128.0.0.1 142.250.74.46 157.240.1.1 169.253.255.255 169.255.0.1 172.15.255.255 172.32.0.1 191.255.255.255
192.0.1.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.0 203.0.112.1 203.0.114.1 223.255.255.255
2606:4700:4700::1111 2620:fe::fe 2a00:1450:4001:81b::200e 2a03:2880:f12f:83:face:b00c:0:25de 2001:4860:4860::8888
::ffff:8.8.8.8 64:ff9b::8.8.8.8
""".split()


@pytest.mark.parametrize("address", PRIVATE)
def test_not_on_the_public_internet(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_on_the_public_internet(address):
    assert is_public(address)


def over(handler, **options):
    given = {"allow_private": False, "timeout_s": 1.0, "connections": 2, **options}
    return Transport(**given, transport=httpx.MockTransport(handler))


def post(url="https://acme.example/v1?token=SECRET", **headers):
    return Prepared("POST", url, headers, b"{}")


async def error_of(transport, prepared):
    with pytest.raises(TransportError) as caught:
        await transport.send(prepared)
    await transport.close()
    assert "SECRET" not in str(caught.value)
    assert "?" not in str(caught.value)
    return caught.value


async def test_an_answer_comes_back_with_lower_case_headers():
    async def handler(request):
        assert request.headers["User-Agent"].startswith("conversions-gateway/")
        return httpx.Response(201, headers={"X-Trace": "t"}, content=b"body")

    transport = over(handler)
    answer = await transport.send(post())
    await transport.close()
    assert (answer.status, answer.headers["x-trace"], answer.body) == (201, "t", b"body")


async def test_redirects_are_not_followed():
    seen = []

    async def handler(request):
        seen.append(str(request.url))
        return httpx.Response(302, headers={"Location": "http://169.254.169.254/"})

    transport = over(handler)
    answer = await transport.send(post())
    await transport.close()
    assert answer.status == 302
    assert len(seen) == 1


@pytest.mark.parametrize("size", [ANSWER_BYTES - 1, ANSWER_BYTES, ANSWER_BYTES + 1, 5 * ANSWER_BYTES])
async def test_a_long_answer_is_cut(size):
    sent = 0

    async def endless():
        nonlocal sent
        while sent < size:
            piece = min(65_536, size - sent)
            sent += piece
            yield b"x" * piece

    transport = over(lambda request: httpx.Response(200, content=endless()))
    answer = await transport.send(post())
    await transport.close()
    assert len(answer.body) == min(size, ANSWER_BYTES)
    assert sent <= ANSWER_BYTES + 65_536


async def test_our_own_timeout_is_named_as_ours():
    async def silent(request):
        await anyio.sleep(30)

    error = await error_of(over(silent, timeout_s=0.05), post())
    assert (error.reason, error.sent) == ("timeout", True)
    assert "our timeout of 0.05 s" in str(error)


async def test_a_body_that_never_ends_falls_under_the_same_deadline():
    async def drip():
        while True:
            yield b"x"
            await anyio.sleep(0.01)

    error = await error_of(over(lambda request: httpx.Response(200, content=drip()), timeout_s=0.05), post())
    assert error.reason == "timeout"


@pytest.mark.parametrize(
    ("raised", "reason", "sent"),
    [
        (httpx.ConnectError("refused"), "connect", False),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), "tls", False),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), "protocol", True),
        (httpx.ReadError("reset"), "protocol", True),
        (httpx.WriteError("reset"), "protocol", True),
        (httpx.ReadTimeout("slow"), "protocol", True),
        (httpx.DecodingError("not gzip"), "protocol", True),
    ],
)
async def test_each_trouble_has_its_reason_and_says_whether_it_may_have_arrived(raised, reason, sent):
    def handler(request):
        raised.request = request
        raise raised

    error = await error_of(over(handler), post())
    assert (error.reason, error.sent) == (reason, sent)


@pytest.mark.parametrize("url", ["ftp://acme.example/SECRET", "https://acme.example:notaport/SECRET", "/SECRET"])
async def test_an_address_that_is_none_is_told(url):
    error = await error_of(Transport(allow_private=True, timeout_s=1, connections=1), post(url))
    assert (error.reason, error.sent) == ("invalid_url", False)


# With real sockets, on this machine.


@contextlib.asynccontextmanager
async def serving(answer):
    """A server on loopback that calls `answer(reader, writer)`; gives its port."""

    tasks = set()

    async def handle(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await answer(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)  # aborted connections are closed in the next turn of the loop


async def ok(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_this_machine_is_refused_however_it_is_written(host):
    async with serving(ok) as port:
        transport = Transport(allow_private=False, timeout_s=2, connections=1)
        error = await error_of(transport, post(f"http://{host}:{port}/"))
    assert error.reason == "address_refused"
    assert not error.sent
    assert "allow_private = true" in str(error)


async def test_this_machine_is_reached_where_that_is_permitted():
    async with serving(ok) as port:
        transport = Transport(allow_private=True, timeout_s=2, connections=1)
        assert (await transport.send(post(f"http://127.0.0.1:{port}/"))).body == b"ok"
        await transport.close()


async def test_a_name_with_one_private_address_is_refused(monkeypatch):
    async def lookup(host, port, **kwargs):
        return [(2, 1, 6, "", ("93.184.215.14", port)), (2, 1, 6, "", ("10.0.0.5", port))]

    monkeypatch.setattr(anyio, "getaddrinfo", lookup)
    error = await error_of(Transport(allow_private=False, timeout_s=1, connections=1), post())
    assert error.reason == "address_refused"


async def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch):
    """A second look-up could give another answer; name and certificate stay those of the host."""
    looked_up, seen = [], []

    async def lookup(host, port, **kwargs):
        looked_up.append(host)
        return [(10, 1, 6, "", ("2606:4700:4700::1111", port, 0, 0))]

    monkeypatch.setattr(anyio, "getaddrinfo", lookup)
    transport = Transport(allow_private=False, timeout_s=1, connections=1)

    async def answer(request, **kwargs):
        seen.append(request)
        return httpx.Response(200, request=request, content=b"")

    monkeypatch.setattr(transport._client("acme.example"), "send", answer)
    for _ in range(2):
        await transport.send(post())
    await transport.close()
    assert looked_up == ["acme.example"]
    assert seen[0].url.host == "2606:4700:4700::1111"
    assert seen[0].headers["Host"] == "acme.example"
    assert seen[0].extensions["sni_hostname"] == "acme.example"


async def test_a_host_that_is_not_there_is_told(monkeypatch):
    async def lookup(host, port, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(anyio, "getaddrinfo", lookup)
    error = await error_of(Transport(allow_private=False, timeout_s=1, connections=1), post())
    assert (error.reason, error.sent) == ("connect", False)
    assert "acme.example: no such host" in str(error)


async def test_a_look_up_that_hangs_falls_under_the_deadline_and_nothing_was_sent(monkeypatch):
    async def lookup(host, port, **kwargs):
        await anyio.sleep(30)

    monkeypatch.setattr(anyio, "getaddrinfo", lookup)
    error = await error_of(Transport(allow_private=False, timeout_s=0.05, connections=1), post())
    assert (error.reason, error.sent) == ("connect", False)


async def test_a_connection_that_never_opens_cannot_have_delivered():
    """A full backlog: the kernel answers no more."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address, fillers = listener.getsockname(), []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(address)
        fillers.append(filler)
    error = await error_of(
        Transport(allow_private=True, timeout_s=0.2, connections=1), post(f"http://127.0.0.1:{address[1]}/")
    )
    for one in (*fillers, listener):
        one.close()
    assert (error.reason, error.sent) == ("connect", False)


async def test_a_request_without_an_answer_may_have_arrived():
    async def silent(reader, writer):
        await reader.read(10)
        await anyio.sleep(5)

    async with serving(silent) as port:
        transport = Transport(allow_private=True, timeout_s=0.2, connections=1)
        error = await error_of(transport, post(f"http://127.0.0.1:{port}/"))
    assert (error.reason, error.sent) == ("timeout", True)


async def test_a_refused_connection_is_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await error_of(Transport(allow_private=True, timeout_s=1, connections=1), post(f"http://127.0.0.1:{port}/"))
    assert (error.reason, error.sent) == ("connect", False)


async def test_a_server_without_tls_is_told_as_such():
    async def plain(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with serving(plain) as port:
        transport = Transport(allow_private=True, timeout_s=2, connections=1)
        error = await error_of(transport, post(f"https://127.0.0.1:{port}/"))
    assert (error.reason, error.sent) == ("tls", False)


async def test_the_environments_proxy_is_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with serving(ok) as port:
        transport = Transport(allow_private=True, timeout_s=2, connections=1)
        assert (await transport.send(post(f"http://127.0.0.1:{port}/"))).status == 200
        await transport.close()
