"""URLs of the configuration lead nowhere inside: not as text, not by their name's addresses, and nothing is connected.

Every socket's `connect` is replaced by one that keeps where it was to go and goes nowhere. Names stand in a table.
"""

from __future__ import annotations

import base64
import json
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway import config, registry
from gateway.config.addresses import is_private_host, is_public
from gateway.delivery.auth import Signer, encode
from gateway.delivery.clock import SystemClock
from gateway.delivery.dispatcher import transport_for
from gateway.delivery.transport import Prepared, Transport
from gateway.model.errors import ConfigError, TransportError
from gateway.plugin import Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

#: Addresses inside, one of each block and its edges.
INSIDE_4 = """
0.0.0.0 0.1.2.3 0.255.255.255 10.0.0.0 10.0.0.1 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255 127.0.0.1
127.0.0.53 127.1.2.3 127.255.255.255 169.254.0.1 169.254.169.123 169.254.169.254 169.254.170.2 169.254.255.255
172.16.0.0 172.17.0.1 172.31.255.255 192.0.0.1 192.0.0.8 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255
198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 224.0.0.251 239.255.255.250 240.0.0.1 255.255.255.255
""".split()

INSIDE_6 = """
:: ::1 ::2 ::7f00:1 ::127.0.0.1 ::a9fe:a9fe ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe
::ffff:169.254.169.254 ::ffff:192.168.0.1 ::ffff:100.64.0.1 ::ffff:0.0.0.0 ::ffff:224.0.0.1 0:0:0:0:0:ffff:7f00:0001
::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::10.0.0.1 64:ff9b::c0a8:1
64:ff9b:1::8.8.8.8 64:ff9b:1:ffff::a9fe:a9fe 100::1 100:0:0:1::1 2001::1 2001:0:7f00:1::1
2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:5ef5:79fd::56fe:5601 2001:2::1 2001:10::1 2001:20::1 2001:db8::1
2002::1 2002:7f00:1::1 2002:a00:1::1 2002:a9fe:a9fe::1 2002:808:808::1 3fff::1 3fff:fff:ffff::1 4000::1 5f00::1
fc00::1 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fdff:ffff:ffff:ffff::1 fe80::1 fe80::5efe:7f00:1 febf::1 fec0::1 feff::1
ff01::1 ff02::1 ff02::fb ff05::1:3 ff0e::1 ffff::1 2a00:1450::5efe:127.0.0.1 2a00:1450::5efe:10.0.0.1
2a00:1450::200:5efe:169.254.169.254 2a00:1450::200:5efe:c0a8:1
""".split()

ZONES = ["fe80::1%eth0", "fe80::1%25eth0", "::1%lo", "ff02::1%2", "2606:4700:4700::1111%eth0"]

#: Other ways of writing an address inside, as hosts of URLs.
SPELLINGS = """
localhost LOCALHOST localhost. localhost.localdomain.localhost a.b.localhost LocalHost.
127.1 127.0.1 127.1. 127.0.0.1. 2130706433 0x7f000001 0x7F000001 0x7f.0.0.1 0x7f.1 0x7f.0x0.0x0.0x1 017700000001
0177.0.0.1 0177.1 0177.0.0.01 00177.0.0.1 127.0x0.0.1 0 0.0 0x0 00 1 10.1 10.0.1 0xa.1 012.0.0.1 167772161 0xa000001
2852039166 0xa9fea9fe 0xa9.0xfe.0xa9.0xfe 0251.0376.0251.0376 025177524776 169.254.43518 169.16689662 169.254.169.254.
0xa9.16689662 3232235521 0xc0a80001 192.168.1 0300.0250.0.1 172.1048577 2886729729 0xac100001 0xffffffff 4294967295
037777777777 3758096385 0xe0000001 1681915905 100.4194305
１２７.０.０.１ 127。0。0。1 127．0．0．1 127｡0｡0｡1 １６９.２５４.１６９.２５４ ①②⑦.⓪.⓪.① ⑯⑨.254.⑯⑨.254 ⓛocalhost
ｌｏｃａｌｈｏｓｔ ｌocalhost。 𝟏𝟐𝟕.𝟎.𝟎.𝟏 𝟙𝟞𝟡.𝟚𝟝𝟜.𝟙𝟞𝟡.𝟚𝟝𝟜 0𝐱7f.1 ²¹³⁰⁷⁰⁶⁴³³
""".split()

#: URLs whose host is not what it seems, or that are none: refused as text.
TRICKS = [
    *r"""
https://platform.example@127.0.0.1/ https://platform.example:443@127.0.0.1/ https://platform.example%40x@127.0.0.1/
https://user:pass@127.0.0.1/ https://:@127.0.0.1/ https://127.0.0.1@platform.example/
https://platform.example\@127.0.0.1/
https://platform.example#@127.0.0.1/ https://127.0.0.1#@platform.example/ https://platform.example/#x
https://127.0.0.1:443/ https://127.0.0.1:80/ https://127.0.0.1:/ https://127.0.0.1?x
https://127.0.0.1\.platform.example@x/
https://[::1]/ https://[::1]:6379/ https://[::ffff:127.0.0.1]:22/ https://[fd00:ec2::254]/latest
https://[fe80::1%25eth0]/
https://[::1 https://::1/ https://[127.0.0.1]/ https://[v1.fe80::1]/ https:///127.0.0.1/ https:127.0.0.1 https://
http://platform.example/ http://93.184.215.14/ ftp://platform.example/ file:/etc/passwd gopher://127.0.0.1:70/
unix:///run/x.sock data:text/plain,x //127.0.0.1/ 127.0.0.1 javascript:0 ldap://127.0.0.1/ HTTP://127.0.0.1/
https://platform.example:99999/ https://platform.example:-1/ https://platform.example:http/
""".split(),
    "https://127.0.0.1\t/",
    "https://127.0.0.1\n.platform.example/",
    "https://\u200b127.0.0.1/",
    "https://127.0.0.1 /",
]

PLATFORM = "platform.example"
OUTSIDE = "93.184.215.14"
METADATA = ("metadata.google.internal", "metadata", "metadata.google.internal.", "instance-data.ec2.internal")

#: What a name may resolve to: all answers with at least one address inside.
ANSWERS = [
    *([one] for one in (*INSIDE_4, *INSIDE_6, *ZONES) if one != "fe80::1%25eth0"),
    *([OUTSIDE, one] for one in ("127.0.0.1", "10.0.0.5", "169.254.169.254", "fd00:ec2::254", "::1")),
    *([one, OUTSIDE] for one in ("127.0.0.1", "192.168.1.1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe")),
    ["2606:4700:4700::1111", OUTSIDE, "100.64.0.1"],
]


class Wire:
    """Names → addresses, and where sockets were to go."""

    def __init__(self) -> None:
        self._real = socket.getaddrinfo
        self.names: dict[str, list[str]] = {}
        self.looked_up: list[str] = []
        self.connected: list[Any] = []

    def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        self.looked_up.append(name)
        if name not in self.names:
            return self._real(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port, 0, 0))
            if ":" in one
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in self.names[name]
        ]

    def connect(self, address: Any) -> int:
        self.connected.append(address)
        raise ConnectionRefusedError(111, "nothing goes out of a test")


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, lambda _, address: made.connect(address))
    return made


async def reason(url: str, *, allow_private: bool = False) -> str:
    """Why a request to a URL got no answer."""
    transport = Transport(allow_private=allow_private, timeout_s=2, connections=1)
    try:
        with pytest.raises(TransportError) as caught:
            await transport.send(Prepared("POST", url, {"Authorization": "Bearer t"}, b"{}"))
    finally:
        await transport.close()
    assert not caught.value.sent
    return caught.value.reason


def configured(folder: Path, url: str, key: str) -> Any:
    """A configuration with `url` at one of the places where one may stand."""
    tables = {
        "base_url": ["[destinations.meta]", 'pixel_id = "1"', 'access_token = "made-up-token"'],
        "url": ["[destinations.webhook]", 'secret = "a-secret-of-the-tests"'],
        "token_url": [
            *("[destinations.google]", 'customer_id = "1234567890"', 'client_id = "c"', 'client_secret = "s"'),
            *('refresh_token = "r"', 'conversion_actions = {Purchase = "1"}'),
        ],
    }
    (folder / "gateway.toml").write_text(
        "\n".join([*tables[key], f"{key} = {json.dumps(url, ensure_ascii=False)}"]), "utf-8"
    )
    return config.load(folder / "gateway.toml", {}, lambda _: registry.load().destinations)


def urls() -> list[str]:
    hosts = [*INSIDE_4, *SPELLINGS, *(f"[{one}]" for one in (*INSIDE_6, *ZONES))]
    return [*(f"https://{host}/x" for host in hosts), *TRICKS]


@pytest.mark.parametrize("key", ["base_url", "url", "token_url"])
def test_as_text_in_the_configuration(key: str, tmp_path: Path, wire: Wire, figure: Callable[[str], None]) -> None:
    taken = []
    for url in urls():
        try:
            configured(tmp_path, url, key)
        except ConfigError as error:
            assert f"{key}:" in str(error)  # noqa: PT017 - the rest of a loop over vectors
        else:
            taken.append(url)
    assert taken == []
    assert (wire.connected, wire.looked_up) == ([], [])
    configured(tmp_path, f"https://{PLATFORM}/x", key)
    figure(f"SSRF, text of `{key}`: {len(urls())} vectors, 0 taken")


async def test_as_text_in_a_request(wire: Wire, figure: Callable[[str], None]) -> None:
    """What a plugin builds, or what came past the configuration's check."""
    for url in urls():
        assert await reason(url) in ("address_refused", "invalid_url", "connect", "plain_http_refused"), url
    assert wire.connected == []
    figure(f"SSRF, text of a request: {len(urls())} vectors, 0 connects")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_by_resolution(scheme: str, wire: Wire, figure: Callable[[str], None]) -> None:
    for addresses in ANSWERS:
        wire.names[PLATFORM] = addresses
        found = await reason(f"{scheme}://{PLATFORM}/x")
        assert found in ("address_refused", "plain_http_refused"), addresses
    for name in METADATA:
        wire.names[name] = ["169.254.169.254"]
        assert await reason(f"{scheme}://{name}/x") == "address_refused"
    assert wire.connected == []
    figure(f"SSRF, addresses of a name over {scheme}: {len(ANSWERS) + len(METADATA)} vectors, 0 connects")


async def test_a_public_host_is_connected_to(wire: Wire) -> None:
    """The wire would tell of a connection: else the tests above could not fail."""
    wire.names[PLATFORM] = [OUTSIDE]
    assert await reason(f"https://{PLATFORM}/x") == "connect"
    assert wire.connected == [(OUTSIDE, 443)]


async def test_a_name_that_changes_its_mind_is_asked_once(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: whatever comes after the look-up that was checked is not asked for."""
    answers = iter([[OUTSIDE], ["127.0.0.1"], ["169.254.169.254"]])

    def lookup(host: Any, port: Any, *_: Any, **__: Any) -> Any:
        if host in (PLATFORM, PLATFORM.encode()):
            wire.names[PLATFORM] = next(answers)
        return wire.getaddrinfo(host, port)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    transport = Transport(allow_private=False, timeout_s=2, connections=1)
    for _ in range(3):
        with pytest.raises(TransportError):
            await transport.send(Prepared("POST", f"https://{PLATFORM}/x", {}, b""))
    await transport.close()
    assert [address[0] for address in wire.connected] == [OUTSIDE] * 3


async def test_a_name_that_changed_its_mind_is_refused_when_it_is_asked_again(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.delivery.transport.DNS_TTL_S", 0.0)
    transport = Transport(allow_private=False, timeout_s=2, connections=1)
    seen = []
    for addresses in ([OUTSIDE], ["10.0.0.1"]):
        wire.names[PLATFORM] = addresses
        with pytest.raises(TransportError) as caught:
            await transport.send(Prepared("POST", f"https://{PLATFORM}/x", {}, b""))
        seen.append(caught.value.reason)
    await transport.close()
    assert seen == ["connect", "address_refused"]
    assert wire.connected == [(OUTSIDE, 443)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["http://169.254.169.254/latest", "https://[::1]/", "//127.0.0.1/", "/admin"])
async def test_a_redirect_is_an_answer_and_no_second_request(status: int, to: str) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(status, headers={"Location": to})

    transport = Transport(allow_private=False, timeout_s=2, connections=1, transport=httpx.MockTransport(answer))
    response = await transport.send(Prepared("POST", f"https://{PLATFORM}/x", {}, b""))
    await transport.close()
    assert (response.status, seen) == (status, [f"https://{PLATFORM}/x"])


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
async def test_the_environment_names_no_proxy(name: str, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:3128")
    wire.names[PLATFORM] = [OUTSIDE]
    await reason(f"https://{PLATFORM}/x")
    assert wire.connected == [(OUTSIDE, 443)]


@pytest.mark.parametrize("allow_private", [False, True])
async def test_a_token_never_crosses_the_internet_in_the_clear(allow_private: bool, wire: Wire) -> None:
    wire.names |= {PLATFORM: [OUTSIDE], "mixed.example": ["10.0.0.1", OUTSIDE]}
    for url in (f"http://{PLATFORM}/x", f"http://{PLATFORM}:8443/x", f"http://{OUTSIDE}/x"):
        assert await reason(url, allow_private=allow_private) == "plain_http_refused"
    assert await reason("http://mixed.example/x", allow_private=True) == "plain_http_refused"
    assert wire.connected == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", "fd00::5"])
async def test_by_name_what_is_inside_may_be_reached(address: str, wire: Wire) -> None:
    wire.names["mock"] = [address]
    assert await reason("http://mock:8080/x", allow_private=True) == "connect"
    assert wire.connected[0][:2] == (address, 8080)


def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


async def test_a_service_account_does_not_say_where_its_token_comes_from(tmp_path: Path, wire: Wire) -> None:
    """`token_uri` and all other URLs of the file are somebody else's idea of where to send a signed assertion."""
    inside = "http://169.254.169.254/token"
    info = {"client_email": "a@b.example", "token_uri": inside, "auth_uri": inside, "private_key": private_key()}
    (tmp_path / "account.json").write_text(json.dumps(info), "utf-8")
    (tmp_path / "gateway.toml").write_text(
        '[destinations.google]\ncustomer_id = "1234567890"\nservice_account_file = "account.json"\n'
        'conversion_actions = {Purchase = "1"}\n',
        "utf-8",
    )
    settings = config.load(tmp_path / "gateway.toml", {}, lambda _: registry.load().destinations)
    instance = settings.destinations["google"]
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"access_token": "t"})

    transport = transport_for(instance, httpx.MockTransport(answer))
    await Signer(instance, SystemClock(), transport).sign(encode(Request("POST", "https://platform.example/", json={})))
    await transport.close()
    assert [str(request.url) for request in seen] == ["https://oauth2.googleapis.com/token"]
    assert inside.encode() not in base64.b64decode(seen[0].content.split(b".")[1] + b"===")
    assert wire.connected == []


async def test_two_hosts_share_no_connection(wire: Wire) -> None:
    """A connection's certificate was checked for one name; another's token does not go over it."""
    transport = Transport(allow_private=False, timeout_s=2, connections=1)
    assert transport._client("a.example") is not transport._client("b.example")
    assert transport._client("a.example") is transport._client("a.example")
    await transport.close()


@pytest.mark.parametrize("address", [*INSIDE_4, *INSIDE_6, *ZONES])
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("host", [*INSIDE_4, *INSIDE_6, *SPELLINGS])
def test_private_as_text(host: str) -> None:
    assert is_private_host(host)


@pytest.mark.parametrize(
    "host", [PLATFORM, "graph.facebook.com", "8.8.8.8", "134744072", "bücher.example", "10.example"]
)
def test_not_private_as_text(host: str) -> None:
    assert not is_private_host(host)
