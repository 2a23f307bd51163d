"""Credentials onto requests."""

from __future__ import annotations

import hashlib
import hmac
import json
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from gateway.config import Secrets
from gateway.delivery.auth import REDACTED, TOKEN_MARGIN_S, Signer, encode, rebased
from gateway.delivery.claims import Claim
from gateway.delivery.dispatcher import transport_for
from gateway.delivery.sender import Sender
from gateway.model.delivery import Kind
from gateway.plugin import Bearer, Header, OAuth, Proof, Query, Request, Signature, verdicts

pytestmark = pytest.mark.anyio

NOW = 1_795_000_000.0
TOKEN_URL = "https://oauth2.acme.example/token"
OAUTH = OAuth(TOKEN_URL, "https://acme.example/auth/scope")
REFRESH = Secrets({"client_id": "an-id", "client_secret": "a-client-secret", "refresh_token": "a-refresh-token"})
REQUEST = Request("POST", "https://acme.example/v1/events?fields=id", json={"data": []}, params={"a": "b c"})


class Clock:
    def __init__(self):
        self.time = NOW

    def now(self):
        return self.time

    async def wait(self, event, timeout_s):
        raise AssertionError("nobody waits here")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def signer(use, clock):
    made = []

    def make(auth, secrets, answer=None, **options):
        instance = use(auth=auth, secrets=Secrets(secrets), **options)
        transport = transport_for(instance, httpx.MockTransport(answer or (lambda request: httpx.Response(500))))
        made.append(transport)
        return Signer(instance, clock, transport)

    yield make
    for transport in made:
        anyio.run(transport.close)


def query(url):
    return {key: value[0] for key, value in parse_qs(urlsplit(url).query).items()}


async def test_a_bearer_token_goes_into_the_header(signer):
    signed = await signer(Bearer("token"), {"token": "abc-secret"}).sign(encode(REQUEST))
    assert signed.headers["Authorization"] == "Bearer abc-secret"
    assert query(signed.url) == {"fields": "id", "a": "b c"}
    assert signed.body == b'{"data":[]}'


async def test_a_header_of_its_own(signer):
    signed = await signer(Header("Access-Token", "token"), {"token": "abc-secret"}).sign(encode(REQUEST))
    assert signed.headers["Access-Token"] == "abc-secret"
    assert "Authorization" not in signed.headers


async def test_a_query_token_is_escaped(signer):
    signed = await signer(Query("access_token", "token"), {"token": "a&b=c d+é"}).sign(encode(REQUEST))
    assert query(signed.url)["access_token"] == "a&b=c d+é"


async def test_a_proof_is_the_hmac_of_another_secret_and_left_out_without_its_key(signer):
    auth = (Query("access_token", "token"), Proof("appsecret_proof", "app_secret", "token"))
    expected = hmac.new(b"app-secret", b"abc-secret", hashlib.sha256).hexdigest()
    signed = await signer(auth, {"token": "abc-secret", "app_secret": "app-secret"}).sign(encode(REQUEST))
    assert query(signed.url)["appsecret_proof"] == expected
    without = await signer(auth, {"token": "abc-secret"}).sign(encode(REQUEST))
    assert "appsecret_proof" not in query(without.url)


async def test_a_signature_covers_time_and_body(signer):
    signed = await signer(Signature("X-Signature", "secret"), {"secret": "shared-secret"}).sign(encode(REQUEST))
    expected = hmac.new(b"shared-secret", b'1795000000.{"data":[]}', hashlib.sha256).hexdigest()
    assert signed.headers["X-Signature"] == f"t=1795000000,v1={expected}"


async def test_what_is_shown_holds_no_secret(signer):
    auth = (
        Bearer("token"),
        Header("Access-Token", "token"),
        Query("access_token", "token"),
        Proof("appsecret_proof", "app_secret", "token"),
        Signature("X-Signature", "app_secret"),
    )
    one = signer(auth, {"token": "abc-secret", "app_secret": "other-secret"})
    signed, redacted = await one.sign(encode(REQUEST)), one.shown(encode(REQUEST))
    shown = f"{redacted.url} {redacted.headers} {redacted.body!r}"
    proof = query(signed.url)["appsecret_proof"]
    for secret in ("abc-secret", "other-secret", proof, signed.headers["X-Signature"].partition("v1=")[2]):
        assert secret not in shown
        assert secret not in repr(signed)
    assert f"access_token={REDACTED}" in shown


@pytest.mark.parametrize(
    ("url", "base", "expected"),
    [
        ("https://acme.example/v1/events?x=1", None, "https://acme.example/v1/events?x=1"),
        ("https://acme.example/v1/events?x=1", "http://127.0.0.1:9", "http://127.0.0.1:9/v1/events?x=1"),
        ("https://acme.example/v1", "http://proxy.example/acme/", "http://proxy.example/acme/v1"),
        ("https://a.example:8443/v1#part", "https://b.example/p", "https://b.example/p/v1"),
    ],
)
def test_a_base_url_replaces_scheme_and_host_and_its_path_is_a_prefix(url, base, expected):
    assert rebased(url, base) == expected


# OAuth.


class Endpoint:
    """A token endpoint."""

    def __init__(self, *answers):
        self.asked = []
        self.answers = list(answers)

    async def __call__(self, request):
        self.asked.append((str(request.url), {key: one[0] for key, one in parse_qs(request.content.decode()).items()}))
        await anyio.lowlevel.checkpoint()
        answer = self.answers.pop(0) if self.answers else {"access_token": f"t{len(self.asked)}", "expires_in": 3600}
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json=answer)


async def token(one):
    return (await one.sign(encode(REQUEST))).headers["Authorization"]


async def test_a_refresh_token_is_exchanged_and_the_answer_kept_until_shortly_before_it_ends(signer, clock):
    endpoint = Endpoint()
    one = signer(OAUTH, REFRESH, endpoint)
    assert await token(one) == await token(one) == "Bearer t1"
    [(url, form)] = endpoint.asked
    assert url == TOKEN_URL
    assert form == {"grant_type": "refresh_token", **REFRESH}
    clock.time += 3600 - TOKEN_MARGIN_S - 1
    assert await token(one) == "Bearer t1"
    clock.time += 2
    assert await token(one) == "Bearer t2"


async def test_a_short_lived_token_is_used_for_half_its_life(signer, clock):
    one = signer(OAUTH, REFRESH, Endpoint({"access_token": "brief", "expires_in": 60}))
    assert await token(one) == "Bearer brief"
    clock.time += 29
    assert await token(one) == "Bearer brief"
    clock.time += 2
    assert await token(one) == "Bearer t2"


async def test_many_at_once_fetch_one_token(signer):
    endpoint = Endpoint()
    one = signer(OAUTH, REFRESH, endpoint)
    found = []

    async def get():
        found.append(await token(one))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(get)
    assert found == ["Bearer t1"] * 20
    assert len(endpoint.asked) == 1


async def test_base_url_holds_for_the_token_endpoint_unless_it_has_its_own(signer):
    for options, expected in (
        ({"base_url": "http://127.0.0.1:9/acme"}, "http://127.0.0.1:9/acme/token"),
        ({"base_url": "http://127.0.0.1:9", "config": {"token_url": "http://127.0.0.1:8/t"}}, "http://127.0.0.1:8/t"),
    ):
        endpoint = Endpoint()
        await token(signer(OAUTH, REFRESH, endpoint, **options))
        assert endpoint.asked[0][0] == expected


async def test_a_service_account_signs_its_own_assertion(signer, tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    file = tmp_path / "account.json"
    file.write_text(json.dumps({"client_email": "robot@acme.example", "private_key": pem, "private_key_id": "k1"}))
    endpoint = Endpoint()
    one = signer(OAUTH, {}, endpoint, config={"service_account_file": str(file)})
    assert await token(one) == "Bearer t1"
    [(_, form)] = endpoint.asked
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(form["assertion"], certs=public, verify=False)
    header, payload, signature = form["assertion"].split(".")
    assert claims["iss"] == "robot@acme.example"
    assert (claims["aud"], claims["scope"]) == (TOKEN_URL, OAUTH.scope)
    assert (claims["iat"], claims["exp"]) == (int(NOW), int(NOW) + 3600)
    _verify(key.public_key(), f"{header}.{payload}".encode(), signature)


def _verify(public, message, signature):
    import base64

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    public.verify(raw, message, padding.PKCS1v15(), hashes.SHA256())  # raises if it does not fit


@pytest.fixture
def sent(use, clock):
    """What comes of one request whose token endpoint and platform answer as given."""

    async def run(endpoint, platform=lambda request: httpx.Response(200), **options):
        async def network(request):
            answer = endpoint(request) if request.url.path == "/token" else platform(request)
            return await answer if hasattr(answer, "__await__") else answer

        instance = use(auth=OAUTH, secrets=REFRESH, **options)
        sender = Sender(instance, clock, transport_for(instance, httpx.MockTransport(network)))
        try:
            return await sender.send([Claim(1, {"id": "a"}, None, False)])
        finally:
            await sender.close()

    return run


def by_token(response, n):
    if response.status == 401:
        return verdicts.retry("http_401", renew_token=True)
    return verdicts.by_status(response, n)


async def test_a_401_renews_the_token_once(sent):
    endpoint, seen = Endpoint(), []

    def platform(request):
        seen.append(request.headers["Authorization"])
        return httpx.Response(401 if len(seen) == 1 else 200)

    answered = await sent(endpoint, platform, classify=by_token)
    assert answered.verdict.kind is Kind.DELIVERED
    assert seen == ["Bearer t1", "Bearer t2"]


async def test_a_second_401_pauses(sent):
    endpoint = Endpoint()
    answered = await sent(endpoint, lambda request: httpx.Response(401), classify=by_token)
    assert (answered.verdict.kind, answered.verdict.code) == (Kind.PAUSE, "http_401")
    assert len(endpoint.asked) == 2


async def test_refused_credentials_pause_with_oauths_words_and_no_secret(sent):
    words = "Token a-refresh-token has been expired or revoked."
    refusal = httpx.Response(400, json={"error": "invalid_grant", "error_description": words})
    answered = await sent(Endpoint(refusal))
    assert (answered.verdict.kind, answered.verdict.code) == (Kind.PAUSE, "invalid_grant")
    assert "expired or revoked" in answered.verdict.message
    assert "a-refresh-token" not in answered.verdict.message


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503),
        httpx.Response(429),
        httpx.Response(200, text="<html>"),
        {"access_token": ""},
        {"access_token": 7},
    ],
)
async def test_an_endpoint_that_does_not_work_is_a_retry(sent, answer):
    answered = await sent(Endpoint(answer))
    assert (answered.verdict.kind, answered.verdict.code) == (Kind.RETRY, "token_unavailable")
    assert not answered.unseen


async def test_no_answer_from_the_token_endpoint_leaves_no_doubt_about_the_events(sent):
    def silent(request):
        raise httpx.ReadTimeout("slow")

    answered = await sent(silent)
    assert (answered.verdict.kind, answered.unseen) == (Kind.RETRY, False)


@pytest.mark.parametrize("content", [None, "not json", "{}", '{"client_email": "x", "private_key": "no key"}'])
async def test_a_service_account_file_that_is_none_pauses_and_is_named(use, clock, tmp_path, content):
    file = tmp_path / "account.json"
    if content is not None:
        file.write_text(content)
    instance = use(auth=OAUTH, config={"service_account_file": str(file)})
    sender = Sender(instance, clock, transport_for(instance, httpx.MockTransport(lambda request: httpx.Response(500))))
    answered = await sender.send([Claim(1, {"id": "a"}, None, False)])
    await sender.close()
    assert (answered.verdict.kind, answered.verdict.code) == (Kind.PAUSE, "service_account_file")
    assert str(file) in answered.verdict.message
