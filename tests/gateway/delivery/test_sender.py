"""One request: built, signed, sent, classified; and who is to blame when something is wrong with it."""

from __future__ import annotations

from email.utils import formatdate

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Secrets
from gateway.delivery.claims import Claim
from gateway.delivery.dispatcher import transport_for
from gateway.delivery.sender import RETRY_AFTER_MAX_S, Sender, retry_after
from gateway.model.delivery import Kind, Verdict
from gateway.plugin import Bearer, Limits, Request, verdicts

pytestmark = pytest.mark.anyio

NOW = 1_795_000_000.0


class Still:
    """A clock that stands still."""

    def now(self):
        return NOW

    async def wait(self, event, timeout_s):
        raise AssertionError("nobody waits here")


def claims(count=1, *, test=False):
    return [Claim(seq, {"id": f"e{seq}"}, None, test) for seq in range(count)]


@pytest.fixture
def sent(use):
    """Send claims with an instance's options and a scripted network; gives what came of it."""

    async def run(answer=lambda request: httpx.Response(200), count=1, *, test=False, **options):
        instance = use(**options)
        sender = Sender(instance, Still(), transport_for(instance, httpx.MockTransport(answer)))
        try:
            return await sender.send(claims(count, test=test))
        finally:
            await sender.close()

    return run


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("  7 ", 7.0),
        ("999999999999999999999", RETRY_AFTER_MAX_S),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        (formatdate(NOW + 1e7, usegmt=True), RETRY_AFTER_MAX_S),
        ("Wed, 18 Nov 2026 11:08:20 -0000", 1_795_000_100.0 - NOW),  # no zone: UTC all the same
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("Wed, 99 Foo 2026", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(value, expected):
    found = retry_after(value, NOW)
    assert found == (None if expected is None else pytest.approx(expected, abs=1))


async def test_retry_after_is_the_least_for_every_retry_and_pause(sent):
    def answer(request):
        return httpx.Response(200, headers={"Retry-After": "50"}, json={"each": ["ok", "again", "later", "at once"]})

    found = (await sent(answer, 4)).verdict
    assert [one.after_s for one in found] == [None, 50.0, 100.0, 50.0]


async def test_too_many_bytes_are_refused_before_anything_is_sent(sent):
    def answer(request):
        raise AssertionError("it was sent")

    many = await sent(answer, 3, limits=Limits(batch=10, bytes=20))
    one = await sent(answer, 1, limits=Limits(batch=10, bytes=20))
    assert (many.verdict.kind, many.verdict.code, many.tried) == (Kind.SPLIT, "too_large", False)
    assert (one.verdict.kind, one.verdict.code) == (Kind.REJECT, "too_large")


async def test_the_body_is_the_plugins_json_in_bytes(sent):
    bodies = []

    def answer(request):
        bodies.append((request.headers["Content-Type"], request.content))
        return httpx.Response(200)

    await sent(answer, 2)
    assert bodies == [("application/json", b'{"data":[{"id":"e0"},{"id":"e1"}]}')]


@pytest.mark.parametrize(
    "verdict",
    [None, "ok", [verdicts.delivered()], [verdicts.delivered()] * 3, [None, None], 7],
    ids=["none", "a word", "too few", "too many", "no verdicts", "a number"],
)
@pytest.mark.parametrize(("status", "kind"), [(400, Kind.SPLIT), (429, Kind.RETRY), (503, Kind.RETRY)])
async def test_what_is_no_verdict_is_the_plugins_mistake(sent, verdict, status, kind):
    answered = await sent(lambda request: httpx.Response(status), 2, classify=lambda response, n: verdict)
    found = answered.verdict
    assert isinstance(found, Verdict)
    assert (found.kind, found.code) == (kind, "plugin_bug")
    assert "acme: classify" in found.message


async def test_what_the_platform_seems_to_have_taken_is_not_sent_again(sent):
    answered = await sent(count=2, classify=lambda response, n: None)
    assert [(one.kind, one.code) for one in answered.verdict] == [(Kind.REJECT, "plugin_bug")] * 2
    assert "it may have it" in answered.verdict[0].message


async def test_the_platforms_words_are_kept_without_the_person_they_quote(sent):
    words = "bad ip 203.0.113.7 / 2001:db8:85a3::8a2e:370:7334 of jane@example.com " + "a" * 64
    answered = await sent(lambda request: httpx.Response(400, text=words), 1)
    for quoted in ("203.0.113.7", "8a2e", "jane@", "a" * 64):
        assert quoted not in answered.verdict.message


async def test_a_whole_batch_is_never_rejected_and_a_single_one_never_split(sent):
    assert (await sent(count=2, classify=lambda r, n: verdicts.reject("x"))).verdict.kind is Kind.SPLIT
    assert (await sent(count=1, classify=lambda r, n: verdicts.split("x"))).verdict.kind is Kind.REJECT
    each = (await sent(count=2, classify=lambda r, n: [verdicts.split("x"), verdicts.delivered()])).verdict
    assert each[0].kind is Kind.REJECT


async def test_the_platforms_test_mode_reports_nothing_later(sent):
    found = await sent(test=True, classify=lambda r, n: verdicts.received("r-1"))
    assert (found.verdict.kind, found.verdict.request_id) == (Kind.DELIVERED, "")


@pytest.mark.parametrize("error", [httpx.ReadError("reset"), httpx.ReadTimeout("slow")])
async def test_no_answer_is_a_retry_that_may_have_arrived(sent, error):
    def answer(request):
        raise error

    found = await sent(answer)
    assert (found.verdict.kind, found.status, found.tried, found.unseen) == (Kind.RETRY, 0, True, True)


async def test_a_refused_connection_is_a_retry_that_cannot_have_arrived(sent):
    def answer(request):
        raise httpx.ConnectError("refused")

    found = await sent(answer)
    assert (found.verdict.code, found.unseen, found.tried) == ("connect", False, True)


async def test_words_of_the_platform_are_kept_without_our_secrets(sent):
    def answer(request):
        return httpx.Response(403, text=f"Malformed access token {request.headers['Authorization'].split()[1]}!")

    found = await sent(answer, auth=Bearer("token"), secrets=Secrets({"token": "EAA-very-secret"}))
    assert "EAA-very-secret" not in found.verdict.message
    assert "Malformed access token ***!" in found.verdict.message


@pytest.mark.parametrize("secret", ["t\u00f6ken", "to\u2013ken"])
async def test_a_secret_that_no_header_can_hold_pauses_and_is_not_told(sent, secret):
    found = await sent(auth=Bearer("token"), secrets=Secrets({"token": secret}))
    assert (found.verdict.kind, found.verdict.code) == (Kind.PAUSE, "credentials_unusable")
    assert secret not in found.verdict.message


async def test_a_plugins_request_that_cannot_be_sent_names_the_plugin(sent):
    found = await sent(build_request=lambda batch, config: Request("POST", "https://acme.example", headers={"X": "ö"}))
    assert (found.verdict.kind, found.verdict.code, found.tried) == (Kind.REJECT, "plugin_bug", False)
    assert "acme: build_request raised UnicodeEncodeError" in found.verdict.message


@given(
    st.text(max_size=60)
    | st.from_regex(r"(Mon|Thu)?,? ?-?\d{1,20} (Jan|Nov|Foo) -?\d{1,12} \d+:\d+(:\d+)? ?(GMT|[+-]\d{1,9})?")
)
def test_any_retry_after_is_a_bounded_time_or_nothing(value):
    found = retry_after(value, NOW)
    assert found is None or 0 <= found <= RETRY_AFTER_MAX_S
