"""Requests of GA4's tag: composed from what public sources tell of them, since the tag itself is not to be had here."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import schema
from gateway.ingest.formats.measurement_protocol.body import translate
from gateway.ingest.formats.measurement_protocol.hit import parameters, product, read, user_data
from gateway.ingest.formats.measurement_protocol.signals import ALPHABET, LETTERS, SIGNALS, consent
from gateway.ingest.formats.rows import STRICT
from gateway.ingest.problem import RequestRefused
from gateway.model.errors import Fault

DIGEST = sha256(b"jane.doe@example.com").hexdigest()
BASE64 = urlsafe_b64encode(bytes.fromhex(DIGEST)).decode().rstrip("=")

#: As a browser sends it: what is about the page and the visitor, then the event.
SHARED = {
    "v": "2", "tid": "G-ABC123", "gtm": "45je61d1v9", "_p": "1795000000000", "gcs": "G111", "gcd": "13r3r3r3r5l1",
    "npa": "0", "dma": "1", "dma_cps": "syphamo", "cid": "123456.1795000000", "uid": "customer-77", "ul": "de-de",
    "sr": "1920x1080", "sid": "1795000000", "sct": "1", "seg": "1", "dl": "https://shop.example/cart?gclid=EAIexample",
    "dr": "https://search.example/", "dt": "Cart", "_s": "3",
}  # fmt: skip
PURCHASE = {
    "en": "purchase", "_et": "12", "cu": "EUR", "ep.transaction_id": "o-1", "epn.value": "19.98", "epn.tax": "3.19",
    "ep.coupon": "SPRING10", "ep.event_id": "e-1",
    "pr1": "idSKU-1~nmBlue shirt~brAcme~caApparel~c2Shirts~vaM~pr9.99~qt2",
    "pr2": "id7~pr5", "up.tier": "gold", "upn.orders": "3", "em": f"tv.1~em.{BASE64}",
}  # fmt: skip


def events(shared: dict[str, str], *lines: str) -> list[dict[str, Any]]:
    made = [found.event for body in read(shared, lines) for found in translate(body)]
    assert all(isinstance(one, dict) and schema.faults(one) == () for one in made)
    return [one for one in made if isinstance(one, dict)]


def test_a_purchase() -> None:
    assert events(parameters(urlencode({**SHARED, **PURCHASE}))) == [
        {
            "event_name": "Purchase",
            "event_id": "e-1",
            "event_source_url": "https://shop.example/cart?gclid=EAIexample",
            "referrer_url": "https://search.example/",
            "context": {"page_title": "Cart"},
            "user_data": {
                "ga_client_id": "123456.1795000000",
                "anonymous_id": "123456.1795000000",
                "external_id": ["customer-77"],
                "ga_session_id": "1795000000",
                "language": "de-de",
                "email": [DIGEST],
            },
            "custom_data": {
                "value": "19.98",
                "currency": "EUR",
                "order_id": "o-1",
                "tax": "3.19",
                "coupon": "SPRING10",
                "contents": [
                    {"id": "SKU-1", "title": "Blue shirt", "brand": "Acme", "category": "Apparel > Shirts",
                     "variant": "M", "item_price": "9.99", "quantity": 2},
                    {"id": "7", "item_price": "5", "quantity": 1},
                ],
                "user_properties": {"tier": "gold", "orders": "3"},
            },
            "consent": dict.fromkeys(SIGNALS, "granted"),
        }
    ]  # fmt: skip


def test_several_events_stand_in_lines_each_with_its_own_consent() -> None:
    lines = [
        urlencode({"en": "page_view", "_et": "5"}),
        urlencode({"en": "scroll", "epn.percent_scrolled": "90"}),
        urlencode({"en": "add_to_cart", "epn.value": "5", "cu": "EUR", "gcs": "G100", "gcd": "13u3u3u3u5l1"}),
    ]
    made = events(SHARED, *lines)
    assert [one["event_name"] for one in made] == ["PageView", "AddToCart"]
    assert [one["consent"]["ad_storage"] for one in made] == ["granted", "denied"]
    assert {one["user_data"]["ga_client_id"] for one in made} == {"123456.1795000000"}


def test_products_and_their_tildes() -> None:
    assert product("idA~~B~nmShirt~k0size~v0M~xx~pr5") == {"item_id": "A~B", "item_name": "Shirt", "price": "5"}
    assert product("") == {}


USER_DATA = [
    (f"tv.1~em.{BASE64}", {"sha256_email_address": [DIGEST]}),
    (f"tv.1~em.{DIGEST.upper()}~em.{BASE64}", {"sha256_email_address": [DIGEST, DIGEST]}),
    (f"tv.1~pn.{DIGEST}", {"sha256_phone_number": [DIGEST]}),
    (
        f"tv.1~fn0.{BASE64}~ln0.{DIGEST}~sa0.{DIGEST}~ct0.Berlin~rg0.BE~pc0.10115~co0.DE~fn1.{DIGEST}",
        {
            "address": [
                {"sha256_first_name": DIGEST, "sha256_last_name": DIGEST, "sha256_street": DIGEST, "city": "Berlin",
                 "region": "BE", "postal_code": "10115", "country": "DE"},
                {"sha256_first_name": DIGEST},
            ]
        },
    ),
    ("tv.1~em.e2~pn.e3~fn0.e0~ec.e3", {}),  # a tag's own error codes
    ("tv.1", {}),
    ("tv.1~em.", {}),
    (f"tv.2~em.{DIGEST}", {}),  # a version that nobody knows
    (f"em.{DIGEST}", {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), USER_DATA)
def test_what_a_page_told_of_its_visitor(text: str, told: dict[str, Any]) -> None:
    assert user_data(text) == told


ALL_DENIED = dict.fromkeys(SIGNALS, "denied")
CONSENT = [
    ({}, {}),
    ({"gcs": "G111"}, {"ad_storage": "granted", "analytics_storage": "granted"}),
    ({"gcs": "G101"}, {"ad_storage": "denied", "analytics_storage": "granted"}),
    ({"gcs": "G110"}, {"ad_storage": "granted", "analytics_storage": "denied"}),
    ({"gcs": "G1--"}, {}),
    ({"gcs": "G2"}, {"ad_storage": "denied", "analytics_storage": "denied"}),
    ({"gcs": "yes"}, {"ad_storage": "denied", "analytics_storage": "denied"}),
    ({"gcd": "11l1l1l1l1"}, {}),
    ({"gcd": "13r3r3r3r5l1"}, dict.fromkeys(SIGNALS, "granted")),
    ({"gcd": "13p3p3p2p5"}, ALL_DENIED),
    ({"gcd": "13t3u3n3m5"}, dict(zip(SIGNALS, ("granted", "denied", "granted", "denied"), strict=True))),
    # `Z` and `z` are none of the nine letters: the one grants by its bits and is not believed, the other denies
    ({"gcd": "13t3t3Z2t5l1"}, dict.fromkeys(("ad_storage", "analytics_storage", "ad_personalization"), "granted")),
    ({"gcd": "13t3t3z2t5l1"}, {**dict.fromkeys(SIGNALS, "granted"), "ad_user_data": "denied"}),
    ({"gcd": "13r3r3r3rd"}, {**dict.fromkeys(SIGNALS, "granted"), "gpc": True}),
    ({"gcd": "13r3r"}, ALL_DENIED),
    ({"gcd": "23r3r3r3r5"}, ALL_DENIED),
    ({"gcd": "13!3r3r3r5"}, ALL_DENIED),
    ({"gcs": "G100", "gcd": "13r3r3r3r5"}, dict(zip(SIGNALS, ("denied", "denied", "granted", "granted"), strict=True))),
    ({"gcs": "G111", "gcd": "13p3p3p3p5"}, ALL_DENIED),
    ({"npa": "0"}, {}),
    ({"npa": "1", "gcd": "13r3r3r3r5"}, {**dict.fromkeys(SIGNALS, "granted"), "ad_personalization": "denied"}),
    ({"dma": "1", "dma_cps": "syphamo"}, {}),
    ({"dma_cps": "-", "gcd": "13r3r3r3r5"}, {**dict.fromkeys(SIGNALS, "granted"), "ad_user_data": "denied"}),
    ({"gdpr_consent": "CPXx", "addtl_consent": "2~1", "gpp": "DBAA", "gpp_sid": "7,8"},
     {"tcf": "CPXx", "additional_consent": "2~1", "gpp": "DBAA", "gpp_sid": "7,8"}),
    ({"gpp": "DBAA", "gpp_sid": "usnat"}, {"gpp": "DBAA"}),
    ({"us_privacy": "1YYN"}, {"gpp": "DBABTA~1YYN"}),
    ({"us_privacy": "nonsense"}, {"gpp": "nonsense"}),  # cannot be used: the gate denies
]  # fmt: skip


@pytest.mark.parametrize(("given_parameters", "said"), CONSENT)
def test_what_a_request_says_of_consent(given_parameters: dict[str, str], said: dict[str, Any]) -> None:
    assert consent(given_parameters) == said


@pytest.mark.parametrize("privacy", ["1YYN", "nonsense"])
def test_an_opt_out_counts_beside_another_string(privacy: str) -> None:
    other = "DBABLA~CVQqAAAAAACA.QA"
    assert consent({"gpp": other, "us_privacy": privacy}) == {"gpp": other, "gpc": True}
    assert consent({"gpp": other, "us_privacy": "1YNN"}) == {"gpp": other}


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("59.980000000000004", "59.98"),
        ("1e-7", "0.0000001"),
        ("5e1", "50"),
        ("1e-20", "0"),
        ("99999999999999.99999999999", "100000000000000"),
    ],
)
def test_an_amount_has_as_many_digits_as_an_event_takes(sent: str, value: str) -> None:
    (found,) = events(SHARED, urlencode({**PURCHASE, "epn.value": sent}))
    assert found["custom_data"]["value"] == value


def test_the_nine_letters_are_made_of_the_bits_by_which_others_are_read() -> None:
    for letter, state in LETTERS.items():
        bits = ALPHABET.index(letter)
        declared, default, update = bits >> 4 & 3, bits >> 2 & 3, bits & 3
        effective = update if update != 1 else default
        assert (declared, {1: None, 2: "denied", 3: "granted"}[effective]) == (1, state)


@given(
    st.text("0123456789GabcdefghijklmnopqrstuvwxyzZ-_1", max_size=16), st.text("G10-x", max_size=6), st.text(max_size=3)
)
def test_no_grant_is_read_but_from_the_well_known(gcd: str, gcs: str, npa: str) -> None:
    said = consent({"gcd": gcd, "gcs": gcs, "npa": npa})
    for at, signal in enumerate(SIGNALS):
        if said.get(signal) == "granted":
            by_letter = gcd[2 + 2 * at : 3 + 2 * at] in {one for one, state in LETTERS.items() if state == "granted"}
            by_bit = at < 2 and gcs[:2] == "G1" and gcs[2 + at] == "1"
            assert by_letter or by_bit


@pytest.mark.parametrize("query", ["&".join(f"a{n}=1" for n in range(501)), "a=" + "x" * 100_001])
def test_a_request_has_its_bounds(query: str) -> None:
    with pytest.raises(RequestRefused):
        parameters(query)


NAMES = st.sampled_from([*SHARED, *PURCHASE, "gpp_sid", "gdpr_consent", "us_privacy", "pr200", "ep.x", "epn.discount"])
QUERIES = st.dictionaries(
    NAMES | st.text(max_size=6),
    st.text(max_size=30) | st.sampled_from([*SHARED.values(), *PURCHASE.values()]),
    max_size=20,
)


@given(QUERIES, st.lists(QUERIES.map(lambda one: urlencode(one, errors="replace")) | st.text(max_size=30), max_size=3))
def test_whatever_comes_is_an_event_or_a_fault(shared: dict[str, str], lines: list[str]) -> None:
    strict = tuple("/" + place.replace(".", "/") for place in STRICT)
    for body in read(shared, lines):
        for made in translate(body):
            if not isinstance(made.event, Fault):
                for fault in schema.faults(made.event):
                    assert fault.path.startswith(strict), fault
