"""Ids out of landing pages and cookies, exactly as the platforms wrote them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.privacy.clickids import (
    build_fbc,
    click_ids,
    click_ids_from_url,
    fbc_for,
    fbc_payload,
    ids_from_cookies,
    valid_fbc,
    valid_fbp,
)

GCLID = "CjwKCAjw9anCBhAWEiwAqBJ-cytR_BwE"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fbclid=IwAR2xYz.Q-9", {"fbclid": "IwAR2xYz.Q-9"}),
        (f"utm_source=x&gclid={GCLID}&gad_source=1", {"gclid": GCLID, "gad_source": "1"}),
        ("gbraid=0AAA-b_c&wbraid=Cl0&dclid=CK_9&gad_campaignid=21", {
            "gbraid": "0AAA-b_c", "wbraid": "Cl0", "dclid": "CK_9", "gad_campaignid": "21"}),
        ("ttclid=E.C.P.CiEXAMPLE", {"ttclid": "E.C.P.CiEXAMPLE"}),
        ("ScCid=AbC-12dE", {"sc_click_id": "AbC-12dE"}),
        ("sccid=AbC-12dE", {"sc_click_id": "AbC-12dE"}),
        ("epik=dj0yJnU9EXAMPLE", {"epik": "dj0yJnU9EXAMPLE"}),
        ("msclkid=a1&twclid=b2&rdt_cid=c3&li_fat_id=d4", {
            "msclkid": "a1", "twclid": "b2", "rdt_cid": "c3", "li_fat_id": "d4"}),
        ("epik=a%2Fb%3D%3D", {"epik": "a/b=="}),
        ("epik=a%252F", {"epik": "a%2F"}),
        ("fbclid=&gclid=undefined&ttclid=null&epik", {}),
        ("gclid=undefined&gclid=" + GCLID, {"gclid": GCLID}),
        ("gclid=a%20b", {}),
        ("gclid=a.b", {}),
        ("gclid=" + "a" * 513, {}),
        ("gclid=" + "a" * 512, {"gclid": "a" * 512}),
        ("gclid=TeSter-123", {}),
        ("GCLID=abc&Fbclid=abc", {}),
        ("fbclid=jane%40example.com", {}),
    ],
)  # fmt: skip
def test_click_ids_are_read_from_the_query(query: str, expected: dict[str, str]) -> None:
    assert click_ids_from_url(f"https://shop.example/p?{query}#top") == expected


@pytest.mark.parametrize("url", ["", "https://shop.example/", "https://shop.example/#?gclid=abc", "?", "https://[bad"])
def test_an_address_without_a_query_has_none(url: str) -> None:
    assert click_ids_from_url(url) == {}


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ({"_fbc": "fb.1.1730578362123.IwAR2xYz.Q-9"}, {"fbc": "fb.1.1730578362123.IwAR2xYz.Q-9"}),
        ({"_fbc": "FB.1.1730578362123.IwAR2xYz"}, {}),
        ({"_fbp": "fb.1.1596403881668.1116446470"}, {"fbp": "fb.1.1596403881668.1116446470"}),
        ({"_fbp": "1116446470"}, {}),
        ({"_ttp": "2F7h37YkS1j57AYSKTI7IHhJPYH", "ttclid": "E.C.P.x"},
         {"ttp": "2F7h37YkS1j57AYSKTI7IHhJPYH", "ttclid": "E.C.P.x"}),
        ({"_epik": "dj0yJnU9", "_pin_unauth": "dWlkPU1q"}, {"epik": "dj0yJnU9", "pin_unauth": "dWlkPU1q"}),
        ({"_scid": "9f5a2d44-6d1c-4b7e-9c63-0f3c1b8d2e10", "_scclid": "AbC-12dE"},
         {"sc_cookie1": "9f5a2d44-6d1c-4b7e-9c63-0f3c1b8d2e10", "sc_click_id": "AbC-12dE"}),
        ({"_gcl_aw": f"GCL.1749720905.{GCLID}"}, {"gclid": GCLID}),
        ({"_gcl_aw": "GCL.1749720905."}, {}),
        ({"_gcl_aw": "GCL.1749720905.undefined"}, {}),
        ({"_gcl_au": "1.1.123456789.1700000000"}, {}),
        ({"_gac_UA-1-1": "1.1.123456789.1700000000"}, {}),
        ({"_gac_UA-1-1": f"1.1749720905.{GCLID}"}, {"gclid": GCLID}),
        ({"_gcl_gb": "GCL.1749720905.Cl0KCQ"}, {"wbraid": "Cl0KCQ"}),
        ({"_gcl_dc": "GCL.1749720905.CK_9"}, {"dclid": "CK_9"}),
        ({"_gcl_ag": "2.1.k0AAAAA-b_c$i1749720905"}, {"gbraid": "0AAAAA-b_c"}),
        ({"_gcl_ag": "2.1.k0AAAAA-b_c$i1749720905$b123"}, {"gbraid": "0AAAAA-b_c"}),
        ({"_gcl_ag": "2.1.k0AAAAA-b_c%24i1749720905"}, {"gbraid": "0AAAAA-b_c"}),
        ({"_gcl_gs": "2.1.k1$i1749720905"}, {"gad_source": "1"}),
        ({"FPGCLAW": f"2.1.k{GCLID}$i1749720905$u1"}, {"gclid": GCLID}),
        ({"FPGCLAW": f"GCL.1749720905.{GCLID}"}, {"gclid": GCLID}),
        ({"_rdt_cid": "c3", "_rdt_uuid": "1749720905123.4f1a-b2"}, {"rdt_cid": "c3", "rdt_uuid": "4f1a-b2"}),
        ({"_uetvid": "a1b2", "_uetmsclkid": "_ueta1b2c3"}, {"uetvid": "a1b2", "msclkid": "a1b2c3"}),
        ({"twclid": "23op", "li_fat_id": "d4-e5"}, {"twclid": "23op", "li_fat_id": "d4-e5"}),
        ({"session": "jane@example.com", "_ttp": "jane@example.com"}, {}),
    ],
)  # fmt: skip
def test_ids_are_read_from_cookies(cookies: dict[str, str], expected: dict[str, str]) -> None:
    assert ids_from_cookies(cookies) == expected


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_cookies_the_newer_click_wins(turned: bool) -> None:
    cookies = [("_gcl_aw", "GCL.1749720905.older"), ("FPGCLAW", "2.1.knewer$i1749720999"), ("_gac_x", "1.1.oldest")]
    assert ids_from_cookies(dict(reversed(cookies) if turned else cookies)) == {"gclid": "newer"}


def test_fbc_is_built_from_the_click_and_the_moment_it_was_first_seen() -> None:
    fbclid = click_ids_from_url("https://shop.example/?fbclid=IwAR2xYz.Q-9")["fbclid"]
    assert build_fbc(fbclid, 1730578362.123) == "fb.1.1730578362123.IwAR2xYz.Q-9"
    assert build_fbc(fbclid, 1730578362) == "fb.1.1730578362000.IwAR2xYz.Q-9"
    assert valid_fbc(build_fbc(fbclid, 1730578362.123))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("fb.1.1700000000000.click", "fb.1.1700000000000.click"),
        ("fb.2.1700000000000.click.AQICAQMC", "fb.2.1700000000000.click.AQICAQMC"),
        ("fb.1.1700000000000.click.Bg", "fb.1.1700000000000.click.Bg"),
        ("fb.1.1700000000000.other", "fb.1.1730578362000.click"),
        ("fb.1.1700000000000.Click", "fb.1.1730578362000.click"),
        ("garbage", "fb.1.1730578362000.click"),
        (None, "fb.1.1730578362000.click"),
    ],
)
def test_a_stored_fbc_of_the_same_click_is_kept(stored: str | None, expected: str) -> None:
    assert fbc_for("click", stored, 1730578362) == expected


def test_an_id_that_ends_like_an_appendix_is_still_itself() -> None:
    assert fbc_for("IwAR.12345678", "fb.1.1700000000000.IwAR.12345678", 1730578362) == (
        "fb.1.1700000000000.IwAR.12345678"
    )


@pytest.mark.parametrize(
    ("value", "payload"), [("fb.1.1700000000000.a.b-c", "a.b-c"), ("fb.1.1700000000000.a.b.AQIAAQMC", "a.b")]
)
def test_the_payload_is_the_click_id(value: str, payload: str) -> None:
    assert fbc_payload(value) == payload


@pytest.mark.parametrize(
    ("value", "fbc", "fbp"),
    [
        ("fb.1.1596403881668.1116446470", True, True),
        ("fb.1.1596403881668.1116446470.AQICAQMC", True, True),
        ("fb.1.1596403881668.1116446470.Ag", True, True),
        ("fb.1.1596403881668.IwAR", True, False),
        ("FB.1.1596403881668.1116446470", False, False),
        ("fb.1.159640388.1116446470", False, False),
        ("fb.10.1596403881668.1116446470", False, False),
        ("fb.1.1596403881668.", False, False),
        ("fb.1.1596403881668", False, False),
        ("fb.1.1596403881668.a b", False, False),
        ("fb.1.1596403881668.1\n", False, False),
        ("", False, False),
    ],
)
def test_what_an_fbc_and_an_fbp_look_like(value: str, fbc: bool, fbp: bool) -> None:
    assert (valid_fbc(value), valid_fbp(value)) == (fbc, fbp)


def test_what_was_given_stands_then_the_url_then_the_cookies() -> None:
    cookies = {"_gcl_aw": "GCL.1749720905.cookie", "ttclid": "cookie", "_fbc": "fb.1.1700000000000.old"}
    url = "https://shop.example/?gclid=url-click&ttclid=url&fbclid=new"
    assert click_ids({"ttclid": "given"}, url, cookies, 1730578362) == {
        "gclid": "url-click",
        "fbclid": "new",
        "fbc": "fb.1.1730578362000.new",
    }
    assert click_ids({"fbc": "fb.1.1.given"}, None, {"_fbp": "fb.1.1700000000000.5"}, 0) == {
        "fbp": "fb.1.1700000000000.5"
    }
    assert click_ids({"fbclid": "given"}, None, {}, 1730578362) == {"fbc": "fb.1.1730578362000.given"}


@given(url=st.text(max_size=60), value=st.text(max_size=40))
def test_any_text_is_read_without_an_error(url: str, value: str) -> None:
    click_ids_from_url("https://shop.example/?" + url)
    ids_from_cookies(dict.fromkeys(("_gcl_aw", "_gcl_ag", "_fbc", "_fbp", "_rdt_uuid", "_uetmsclkid"), value))
    assert valid_fbc(value) in (True, False)


@pytest.mark.parametrize(
    "text",
    [
        "2." + "1$" * 20_000,
        "2.1." + "$k" * 20_000 + "$i",
        "GCL." + "1." * 20_000,
        "fb.1." + "1" * 50_000,
        "%" * 50_000,
        "&gclid=" * 10_000,
    ],
)
def test_a_long_text_takes_no_longer_than_its_length_asks(text: str) -> None:
    start = time.process_time()
    click_ids_from_url("https://shop.example/?" + text)
    ids_from_cookies(dict.fromkeys(("_gcl_aw", "_gcl_ag", "_gac_UA", "_fbc", "_fbp", "_rdt_uuid", "_uetmsclkid"), text))
    assert time.process_time() - start < 2  # a quadratic one takes minutes
