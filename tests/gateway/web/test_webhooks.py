"""`POST /webhooks/{source}`."""

import asyncio
import json
import time
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.config import Source
from gateway.model.errors import OutboxBusy, OutboxFull
from gateway.web import webhooks
from gateway.web.service import Effective
from tests.gateway.ingest.formats.shop_payloads import (
    SHOPIFY_SECRET,
    STRIPE_SECRET,
    WOO_SECRET,
    raw,
    shopify_headers,
    shopify_order,
    shopify_privacy,
    shopify_refund,
    stripe_event,
    stripe_headers,
    stripe_session,
    woo_headers,
    woo_order,
)

pytestmark = pytest.mark.anyio

OLD_SECRET = "shpss_made-up-secret-0000"
UNUSED = {"accepted": 0, "duplicates": 0, "rejected": 0, "results": []}


@pytest.fixture
def settings(settings):
    shops = [
        Source(name="shop", kind="shopify", signing_secrets=(SHOPIFY_SECRET, OLD_SECRET), region="US"),
        Source(name="other", kind="shopify", signing_secrets=("shpss_made-up-secret-0009",), region="US"),
        Source(name="woo", kind="woocommerce", signing_secrets=(WOO_SECRET,), region="US", default_country="DE"),
        Source(name="pay", kind="stripe", signing_secrets=(STRIPE_SECRET,), region="US"),
    ]
    return replace(settings, sources={**settings.sources, **{one.name: one for one in shops}})


async def shopify(client, body, topic="orders/paid", source="shop", secret=SHOPIFY_SECRET, **more):
    data = raw(body)
    headers = {**shopify_headers(data, topic, secret), **more}
    return await client.post(f"/webhooks/{source}", content=data, headers=headers)


async def woo(client, body, topic="order.updated"):
    data = raw(body)
    return await client.post("/webhooks/woo", content=data, headers=woo_headers(data, topic))


async def stripe(client, body, at=None):
    data = raw(body)
    return await client.post("/webhooks/pay", content=data, headers=stripe_headers(data, at or time.time()))


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_order_is_accepted_under_its_id(client, stored):
    answer = await shopify(client, shopify_order())
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    assert (result["status"], result["event_id"]) == ("accepted", "820982911946154508")
    assert result["destinations"] == {"acme": "queued"}
    ((event_id, payload),) = stored()
    assert event_id == "820982911946154508"
    assert sha256(b"jane.doe@example.com").hexdigest() in json.dumps(str(payload))
    assert "jane.doe@" not in str(payload).lower()


async def test_every_shop_has_its_own_signature(client, stored):
    assert (await woo(client, woo_order())).json()["accepted"] == 1
    event = stripe_event("checkout.session.completed", stripe_session())
    assert (await stripe(client, event)).json()["accepted"] == 1
    assert [event_id for event_id, _ in stored()] == ["727", "cs_live_a1MadeUpSession"]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\r\n  " + data.replace(b'", "', b'"  ,\t"') + b"\n\n",
        lambda data: data.replace(b"Jane", "J\u00e4ne \U0001f9e6".encode()),
        lambda data: data.replace(b"Jane", b"J\\u00e4ne \\ud83e\\udde6 \\/"),
    ],
)
async def test_the_signature_is_over_the_body_as_it_came(client, stored, change):
    data = change(raw(shopify_order()))
    assert (await shopify(client, data)).json()["accepted"] == 1
    headers = shopify_headers(data, "orders/paid")
    again = json.dumps(json.loads(data)).encode()  # the same, written otherwise
    refused(await client.post("/webhooks/shop", content=again, headers=headers), 401, "bad_signature")
    assert len(stored()) == 1


async def test_both_orders_create_and_orders_paid_make_one_purchase(client, stored):
    assert (await shopify(client, shopify_order(), "orders/create")).json()["accepted"] == 1
    answer = (await shopify(client, shopify_order(updated_at="2025-11-27T10:05:00+01:00"))).json()
    assert (answer["accepted"], answer["duplicates"]) == (0, 1)
    assert len(stored()) == 1


async def test_a_repeat_is_a_duplicate_and_no_error(client, stored):
    for expected in ("accepted", "duplicate"):
        for answer in (
            await shopify(client, shopify_order()),
            await woo(client, woo_order()),
            await stripe(client, stripe_event("checkout.session.completed", stripe_session())),
        ):
            assert answer.status_code == 200
            assert [one["status"] for one in answer.json()["results"]] == [expected]
    assert len(stored()) == 3


async def test_a_refund_goes_beside_its_purchase(client, stored):
    await shopify(client, shopify_order())
    assert (await shopify(client, shopify_refund(), "refunds/create")).json()["accepted"] == 1
    answer = (await woo(client, woo_order(refunds=[{"id": 730, "total": "-9.93"}]))).json()
    assert [one["event_id"] for one in answer["results"]] == ["727", "730"]
    answer = (await woo(client, woo_order(refunds=[{"id": 740, "total": "-1"}, {"id": 730, "total": "-9.93"}]))).json()
    assert [one["status"] for one in answer["results"]] == ["duplicate", "duplicate", "accepted"]


class TestForged:
    @pytest.mark.parametrize("source", ["shop", "woo", "pay", "web", "nobody", "hooks", "%2e%2e", "é"])
    @pytest.mark.parametrize("made", [shopify_headers, woo_headers, None])
    async def test_a_wrong_signature_is_answered_as_a_source_that_is_not_there(self, client, stored, source, made):
        data = raw(shopify_order())
        wrong = "a-secret-of-somebody-else"
        headers = made(data, "orders/paid", wrong) if made else stripe_headers(data, time.time(), wrong)
        answer = await client.post(f"/webhooks/{source}", content=data, headers=headers)
        refused(answer, 401, "bad_signature")
        nobody = await client.post("/webhooks/not-there", content=data, headers=headers)
        assert answer.json() == nobody.json()
        names = {"x-request-id"}
        assert {**answer.headers, **dict.fromkeys(names)} == {**nobody.headers, **dict.fromkeys(names)}
        assert stored() == []

    @pytest.mark.parametrize("signature", ["", "=", "é".encode(), b"\xff\xfe", "a" * 5000, "YWJj"])
    async def test_what_is_no_signature_is_a_wrong_one(self, client, stored, signature):
        for name in ("X-Shopify-Hmac-Sha256", "X-WC-Webhook-Signature", "Stripe-Signature"):
            for source in ("shop", "woo", "pay"):
                headers = {name: signature, "Content-Type": "application/json"}
                answer = await client.post(f"/webhooks/{source}", content=b"{}", headers=headers)
                refused(answer, 401, "bad_signature")
        assert stored() == []

    async def test_another_sources_secret_signs_nothing_here(self, client, stored):
        refused(await shopify(client, shopify_order(), source="other"), 401, "bad_signature")
        data = raw(woo_order())
        answer = await client.post(
            "/webhooks/woo", content=data, headers=woo_headers(data, "order.updated", SHOPIFY_SECRET)
        )
        refused(answer, 401, "bad_signature")
        assert stored() == []

    async def test_a_write_key_opens_nothing_here(self, client, stored):
        answer = await client.post("/webhooks/web", json=shopify_order())  # the client brings the source's key
        refused(answer, 401, "bad_signature")
        assert stored() == []

    async def test_a_body_that_was_cut_off_is_not_what_was_signed(self, client, stored):
        data = raw(shopify_order())
        headers = shopify_headers(data, "orders/paid")
        for end in (len(data) - 1, len(data) // 2, 0):
            refused(await client.post("/webhooks/shop", content=data[:end], headers=headers), 401, "bad_signature")
        assert stored() == []

    async def test_an_old_message_of_stripes_is_refused(self, client, stored):
        event = stripe_event("checkout.session.completed", stripe_session())
        refused(await stripe(client, event, time.time() - 301), 401, "old_signature")
        assert stored() == []
        assert (await stripe(client, event, time.time() - 200)).json()["accepted"] == 1

    async def test_a_signed_body_under_another_topic_makes_nothing(self, client, stored):
        answer = await shopify(client, shopify_privacy(orders_requested=[]), "customers/redact")
        assert answer.json()["unused"]["code"] == "topic_mismatch"
        assert (await shopify(client, shopify_refund(), "orders/paid")).json()["unused"]["code"] == "topic_mismatch"
        assert stored() == []

    async def test_a_huge_body_is_refused_before_it_is_read(self, client, stored):
        answer = await shopify(client, b" " * 100_001)
        refused(answer, 413, "body_too_large")
        assert stored() == []

    @pytest.mark.parametrize("data", [b"", b"[", b"[]", b"[1]", b'"x"', b"<order/>", b"\xff", b"[" * 5000])
    async def test_what_is_signed_and_no_object_is_malformed(self, client, stored, data):
        assert (await shopify(client, data)).status_code == 400
        assert stored() == []

    async def test_a_compressed_body_is_not_taken(self, client, stored):
        refused(await shopify(client, b"{}", **{"Content-Encoding": "gzip"}), 415, "unsupported_encoding")
        assert stored() == []

    async def test_other_methods_and_paths_are_not_there(self, client):
        assert (await client.get("/webhooks/shop")).status_code == 405
        assert (await client.post("/webhooks/shop/orders")).status_code == 404
        assert (await client.post("/webhooks/")).status_code == 404


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=60) | st.dictionaries(st.text(max_size=4), st.integers(), max_size=3).map(raw),
    topic=st.sampled_from(["orders/paid", "refunds/create", "customers/redact", "order.updated", "x"]),
    signed=st.booleans(),
    source=st.sampled_from(["shop", "woo", "pay", "web", "x"]),
)
async def test_whatever_comes_is_answered(client, stored, data, topic, signed, source):
    secret = (
        "a-secret-of-somebody-else"
        if not signed
        else {"woo": WOO_SECRET, "pay": STRIPE_SECRET}.get(source, SHOPIFY_SECRET)
    )
    headers = {
        **shopify_headers(data, topic, secret),
        **woo_headers(data, topic, secret),
        **stripe_headers(data, time.time(), secret),
    }
    answer = await client.post(f"/webhooks/{source}", content=data, headers=headers)
    assert answer.status_code in ((200, 400) if signed and source in ("shop", "woo", "pay") else (401,))
    assert stored() == []


async def test_both_secrets_count_while_one_replaces_the_other(client):
    assert (await shopify(client, shopify_order(), secret=OLD_SECRET)).status_code == 200


async def test_what_is_not_used_is_answered_200_counted_and_told(client, stored):
    with capture_logs() as lines:
        answer = await shopify(client, {"id": 1}, "products/update")
        await woo(client, woo_order(status="pending"))
    assert answer.status_code == 200
    assert {**answer.json(), "unused": None} == {**UNUSED, "unused": None}
    assert answer.json()["unused"]["code"] == "topic_unused"
    told = [(line["source"], line["code"], line["count"]) for line in lines if line["event"] == "webhook_unused"]
    assert told == [("shop", "topic_unused", 1), ("woo", "not_paid", 1)]
    counted = 'gateway_webhooks_unused_total{code="topic_unused",source="shop"} 1.0'
    assert counted in (await client.get("/metrics")).text
    assert stored() == []


async def test_an_order_that_is_refused_is_answered_200_with_the_reason(client, stored):
    with capture_logs() as lines:
        answer = await shopify(client, shopify_order(currency="XXQ"))
    assert answer.status_code == 200
    assert answer.json()["results"][0]["errors"][0]["code"] == "unknown_currency"
    assert [line["code"] for line in lines if line["event"] == "events_rejected"] == ["unknown_currency"]
    assert stored() == []


async def test_the_shop_asks_without_a_signature_whether_somebody_is_there(client, stored):
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for source in ("woo", "shop", "not-there"):  # nobody learns from it which sources there are
        answer = await client.post(f"/webhooks/{source}", content=b"webhook_id=5", headers=kind)
        assert (answer.status_code, answer.json()) == (200, UNUSED)
    assert stored() == []


@pytest.mark.parametrize(("error", "status"), [(OutboxBusy("busy"), 429), (OutboxFull("full"), 503)])
async def test_the_shop_is_told_to_send_it_again_later(client, outbox, monkeypatch, error, status):
    async def append(records):
        raise error

    monkeypatch.setattr(outbox, "append", append)
    answer = await shopify(client, shopify_order())
    assert answer.status_code == status
    assert int(answer.headers["retry-after"]) > 0


async def test_a_nul_character_costs_no_order(client, stored):
    data = raw(shopify_order()).replace(b"Blue shirt", b"Blue\\u0000 shirt")
    assert (await shopify(client, data)).json()["accepted"] == 1


class TestPrivacy:
    async def test_a_redacted_customer_is_erased_before_the_answer(self, client, stored):
        await shopify(client, shopify_order())
        with capture_logs() as lines:
            answer = await shopify(client, shopify_privacy(orders_to_redact=[820982911946154508]), "customers/redact")
        assert answer.status_code == 200
        assert answer.json() == {**UNUSED, "erased": {"events": 1}}
        assert stored() == []
        (told,) = [line for line in lines if line["event"] == "person_erased"]
        assert (told["source"], told["count"], told["instances"]) == ("shop", 1, [])  # nothing had been sent
        again = await shopify(client, shopify_order())
        assert again.json()["results"][0]["errors"][0]["code"] == "person_erased"
        assert again.status_code == 200

    @pytest.mark.parametrize("kept", ["id", "email", "phone"])
    async def test_one_identifier_is_enough(self, client, stored, kept):
        await shopify(client, shopify_order())
        body = shopify_privacy(orders_to_redact=[])
        body["customer"] = {"id": None, "email": None, "phone": None, kept: body["customer"][kept]}
        assert (await shopify(client, body, "customers/redact")).json()["erased"] == {"events": 1}
        assert stored() == []

    async def test_who_cannot_be_found_out_is_said(self, client):
        body = shopify_privacy(customer={"id": None, "email": "jane"}, orders_to_redact=[])
        answer = await shopify(client, body, "customers/redact")
        assert answer.status_code == 200
        assert answer.json()["unused"]["code"] == "no_identifier"

    async def test_an_erasure_that_takes_long_goes_on_and_is_found_done(self, client, service, stored, monkeypatch):
        await shopify(client, shopify_order())
        body = shopify_privacy(orders_to_redact=[])
        monkeypatch.setattr(webhooks, "ERASED_WITHIN_S", 0.0)
        async with service.one_person:  # somebody else's erasure is under way
            answer = await shopify(client, body, "customers/redact")
            refused(answer, 503, "still_erasing")
            assert answer.headers["retry-after"] == "60"
        await asyncio.gather(*service.background)
        assert stored() == []
        monkeypatch.undo()
        assert (await shopify(client, body, "customers/redact")).json()["erased"] == {"events": 0}

    async def test_what_goes_wrong_behind_the_answer_is_told(self, service):
        async def fail():
            raise OutboxFull("full")

        with capture_logs() as lines:
            await asyncio.wait({service.in_background(fail())})
            await asyncio.sleep(0)
        assert [line["event"] for line in lines] == ["background_failed"]
        assert not service.background

    async def test_the_operator_hears_what_to_do(self, client):
        body = shopify_privacy(orders_requested=[299938], data_request={"id": 9999})
        with capture_logs() as lines:
            assert (await shopify(client, body, "customers/data_request")).json() == UNUSED
            shop = {"shop_id": 1, "shop_domain": "made-up.myshopify.com"}
            assert (await shopify(client, shop, "shop/redact")).json() == UNUSED
        asked = [line for line in lines if line["event"] == "privacy_requested"]
        assert [line["code"] for line in asked] == ["customer_data", "shop_redact"]
        assert asked[0]["event_ids"] == ["299938"]
        assert "jane" not in str(asked)


async def test_a_source_of_webhooks_takes_nothing_else(client, settings, outbox, service):
    source = Source(
        name="shop", kind="shopify", write_keys=("key-that-also-signs",), signing_secrets=("key-that-also-signs",)
    )
    service.effective = Effective.of(replace(settings, sources={"shop": source}), outbox)
    headers = {"Authorization": "Bearer key-that-also-signs"}
    answer = await client.post("/v1/events", json={"event_name": "Lead"}, headers=headers)
    refused(answer, 403, "wrong_kind_of_source")
    assert (await shopify(client, shopify_order(), secret="key-that-also-signs")).status_code == 200
