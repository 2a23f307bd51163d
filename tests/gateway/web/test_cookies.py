"""First-party cookies on answers to the snippet: under consent, for whoever is of the same site, for nobody else."""

import json
import re
import time
from dataclasses import replace

import pytest

from gateway.config import BrowserCookies
from gateway.web.service import Effective

SHOP, PUBLIC_KEY = "https://shop.example", "public-key-of-the-shop"
YES = {"ad_storage": "granted", "ad_user_data": "granted"}
NO = {"ad_storage": "denied", "ad_user_data": "denied"}
VISITOR = "5f0c2a7d9b3e41f68a0d5c7b9e1f2a34"
FBC, FBP = "fb.1.1795000000000.IwAR2Example", "fb.1.1795000000000.1098115397"
BOTH = BrowserCookies(cookies=("_fbc", "_fbp"), cookie_domain="shop.example", cookie_max_age_s=3600.0)


@pytest.fixture
def use(service, settings, outbox):
    """Have the shop's pages use these cookies."""

    def change(cookies, **keys):
        sources = {**settings.sources, "web": replace(settings.sources["web"], browser=cookies, **keys)}
        service.effective = Effective.of(replace(settings, sources=sources), outbox)

    return change


@pytest.fixture
def post(client):
    """Post an event as the snippet does; `around=None`: as a page of its own does."""
    client.headers.pop("Authorization", None)

    async def post(consent, cookie="", *, site="same-site", around=(), key=PUBLIC_KEY, **event):
        event = {"event_name": "Lead", "event_id": "l-1", "consent": consent, **event}
        body = {"key": key, "events": [event]}
        if around is not None:
            body |= {"sent_at": time.time() * 1000, **dict(around)}
        headers = {"Origin": SHOP, "Content-Type": "text/plain"}
        headers |= {"Sec-Fetch-Site": site} if site else {}
        headers |= {"Cookie": cookie} if cookie else {}
        return await client.post("/v1/collect", content=json.dumps(body), headers=headers)

    return post


@pytest.fixture
def withdraw(client):
    client.headers.pop("Authorization", None)

    async def withdraw(consent, cookie="", user_data=(), headers=()):
        body = {"key": PUBLIC_KEY, "user_data": dict(user_data), "consent": consent}
        headers = {"Origin": SHOP, "Cookie": cookie, **dict(headers)}
        return await client.post("/v1/consent", content=json.dumps(body), headers=headers)

    return withdraw


def set_by(answer):
    """Cookie → its value and what stands behind it."""
    lines = [line.partition("; ") for line in answer.headers.get_list("set-cookie")]
    return {pair.partition("=")[0]: (pair.partition("=")[2], rest) for pair, _, rest in lines}


@pytest.mark.anyio
async def test_consent_sets_the_visitor_s_id_and_the_click_s(post, stored):
    answer = await post(YES, event_source_url="https://shop.example/?fbclid=IwAR2Example")
    assert answer.status_code == 202
    assert answer.json()["visitor"] == {"storage": "granted", "cookies": True}
    found = set_by(answer)
    assert found.keys() == {"cg_visitor", "_fbc"}
    value, rest = found["cg_visitor"]
    assert re.fullmatch("[0-9a-f]{32}", value)
    assert rest == "Max-Age=7776000; Path=/; Secure; SameSite=Lax; HttpOnly"
    value, rest = found["_fbc"]
    assert re.fullmatch(r"fb\.1\.\d{13}\.IwAR2Example", value)
    assert rest == "Max-Age=7776000; Path=/; Secure; SameSite=Lax"
    [(_, payload)] = stored()
    assert json.loads(payload)["user_data"] == {"anonymous_id": found["cg_visitor"][0], "fbc": value}


@pytest.mark.anyio
async def test_a_visit_refreshes_what_is_there(use, post, stored):
    use(BOTH)
    found = set_by(await post(YES, f"cg_visitor={VISITOR}; _fbc={FBC}; _fbp={FBP}"))
    assert {name: value for name, (value, _) in found.items()} == {"cg_visitor": VISITOR, "_fbc": FBC, "_fbp": FBP}
    assert {rest for _, rest in found.values()} == {
        "Max-Age=3600; Path=/; Domain=shop.example; Secure; SameSite=Lax; HttpOnly",
        "Max-Age=3600; Path=/; Domain=shop.example; Secure; SameSite=Lax",
    }
    [(_, payload)] = stored()
    assert json.loads(payload)["user_data"]["anonymous_id"] == VISITOR


@pytest.mark.anyio
async def test_a_browser_id_is_made_up_only_where_the_site_asks_for_it(use, post, stored):
    assert "_fbp" not in set_by(await post(YES))
    use(BOTH)
    value, _ = set_by(await post(YES, event_id="l-2"))["_fbp"]
    assert re.fullmatch(r"fb\.1\.\d{13}\.\d{10}", value)
    assert json.loads(stored()[1][1])["user_data"]["fbp"] == value
    assert "fbp" not in json.loads(stored()[0][1])["user_data"]


@pytest.mark.anyio
async def test_a_site_may_do_without(use, post, stored):
    use(BrowserCookies(cookies=(), visitor_cookie=""))
    assert set_by(await post(YES, f"cg_visitor={VISITOR}; _fbc={FBC}")) == {}
    assert "anonymous_id" not in json.loads(stored()[0][1])["user_data"]


@pytest.mark.anyio
@pytest.mark.parametrize("consent", [NO, {"ad_storage": "denied"}, {**YES, "gpc": True}])
async def test_a_denial_ends_them(use, post, consent, stored):
    use(BOTH)
    answer = await post(consent, f"cg_visitor={VISITOR}; _fbc={FBC}; _fbp={FBP}; mine=1")
    assert answer.json()["visitor"] == {"storage": "denied", "cookies": True}
    found = set_by(answer)
    assert {name: value for name, (value, _) in found.items()} == {"cg_visitor": "", "_fbc": "", "_fbp": ""}
    assert all(rest.startswith("Max-Age=0; Path=/; Domain=shop.example; Secure;") for _, rest in found.values())
    assert VISITOR not in stored()[0][1].decode()


@pytest.mark.anyio
async def test_a_default_that_stands_for_no_answer_ends_nothing(use, post):
    use(BOTH)
    answer = await post(NO, f"cg_visitor={VISITOR}", around={"pending": True})
    assert set_by(answer) == {}
    assert answer.json()["visitor"] == {"storage": "pending", "cookies": True}


@pytest.mark.anyio
@pytest.mark.parametrize("said", [{"gpc": True}, {"gpp": "DBABLA~CVQVAAAAAACA.YA"}], ids=["gpc", "gpp"])
async def test_what_a_visitor_has_set_ends_them_whatever_the_page_says(use, post, said):
    use(BOTH)
    answer = await post({**YES, **said}, f"cg_visitor={VISITOR}", around={"pending": True})
    assert set_by(answer).keys() == {"cg_visitor"}


@pytest.mark.anyio
async def test_where_consent_comes_first_silence_sets_nothing_and_ends_nothing(use, post):
    use(BOTH, region="DE")
    answer = await post({}, f"cg_visitor={VISITOR}; _fbc={FBC}")
    assert set_by(answer) == {}
    assert answer.json()["visitor"] == {"storage": "pending", "cookies": True}


@pytest.mark.anyio
async def test_where_silence_is_enough_they_are_set(post):
    answer = await post({})  # the source's region is the United States
    assert answer.json()["visitor"] == {"storage": "granted", "cookies": True}
    assert set_by(answer).keys() == {"cg_visitor"}


@pytest.mark.anyio
async def test_the_newest_event_decides(post, client):
    await post(YES)
    events = [
        {"event_name": "Lead", "event_id": "new", "event_time": time.time(), "consent": NO},
        {"event_name": "Lead", "event_id": "old", "event_time": time.time() - 600, "consent": YES},
    ]
    body = {"key": PUBLIC_KEY, "sent_at": time.time() * 1000, "events": events}
    answer = await client.post("/v1/collect", content=json.dumps(body), headers={"Origin": SHOP})
    assert answer.json()["visitor"] == {"storage": "denied", "cookies": True}
    assert set_by(answer) == {}


@pytest.mark.anyio
async def test_from_another_site_the_page_is_told_the_id(post, stored):
    answer = await post(YES, f"cg_visitor={VISITOR}", site="cross-site")
    assert set_by(answer) == {}
    made = answer.json()["visitor"]["anonymous_id"]
    assert made != VISITOR
    assert json.loads(stored()[0][1])["user_data"]["anonymous_id"] == made
    again = await post(YES, site="cross-site", event_id="l-2", user_data={"anonymous_id": made})
    assert again.json()["visitor"] == {"storage": "granted", "anonymous_id": made}
    denied = await post(NO, site="cross-site", event_id="l-3")
    assert denied.json()["visitor"] == {"storage": "denied"}


@pytest.mark.anyio
async def test_a_browser_that_does_not_say_which_site_it_is_on_decides_itself(post):
    assert set_by(await post(YES, site="")).keys() == {"cg_visitor"}


@pytest.mark.anyio
async def test_an_origin_that_is_not_named_gets_no_cookies(post):
    answer = await post(YES, f"cg_visitor={VISITOR}", key="public-key-for-anybody")
    assert set_by(answer) == {}
    assert answer.json()["visitor"]["anonymous_id"] != VISITOR


@pytest.mark.anyio
async def test_a_page_that_posts_by_itself_gets_neither_cookies_nor_an_id(post, stored):
    answer = await post(YES, f"cg_visitor={VISITOR}; _fbc={FBC}", around=None)
    assert set_by(answer) == {}
    assert "visitor" not in answer.json()
    assert "anonymous_id" not in json.loads(stored()[0][1])["user_data"]


@pytest.mark.anyio
async def test_a_refused_event_says_nothing_of_consent(post):
    answer = await post(YES, f"cg_visitor={VISITOR}", event_name="")
    assert answer.status_code == 422
    assert "visitor" not in answer.json()
    assert set_by(answer) == {}


@pytest.mark.anyio
@pytest.mark.parametrize("odd", ["short", "x" * 65, "a b" * 8, "<script>alert(1)</script>", "äöü" * 8])
async def test_an_id_that_is_none_of_ours_is_replaced(post, odd):
    value, _ = set_by(await post(YES, f"cg_visitor={odd}".encode("latin-1")))["cg_visitor"]
    assert re.fullmatch("[0-9a-f]{32}", value)


@pytest.mark.anyio
async def test_no_event_can_write_into_a_header(use, post):
    use(BOTH)
    answer = await post(YES, user_data={"fbc": "fb.1.1795000000000.a;Domain=evil.example"})
    assert "_fbc" not in set_by(answer)
    assert "evil" not in str(answer.headers)


@pytest.mark.anyio
async def test_the_page_s_cookies_and_the_landing_s_click_count_after_the_request_s(post, stored):
    around = {
        "cookies": f"_ttp=abc123; _fbp={FBP}; cg_visitor={VISITOR}",
        "landing": {"query": "fbclid=Old&ttclid=E.C.P.x", "at": 1},
    }
    await post(YES, "_ttp=theirs", around=around)  # a landing of 1970 is over
    landing = {"query": "fbclid=IwAR2New&ttclid=E.C.P.x&gclid=undefined&page=2", "at": (time.time() - 60) * 1000}
    await post(YES, around={**around, "landing": landing}, event_id="l-2")
    first, second = (json.loads(payload)["user_data"] for _, payload in stored())
    assert first["ttp"] == "theirs"
    assert first["fbp"] == FBP
    assert first["anonymous_id"] != VISITOR  # a page cannot say whose cookie it is
    assert not {"ttclid", "fbc"} & first.keys()
    assert (second["ttp"], second["ttclid"]) == ("abc123", "E.C.P.x")
    assert second["fbc"] == f"fb.1.{round(landing['at'])}.IwAR2New"
    assert not {"gclid", "page"} & second.keys()


@pytest.mark.anyio
async def test_a_withdrawal_is_the_visitor_s_by_their_cookie(use, post, withdraw):
    use(BOTH)
    await post(YES, f"cg_visitor={VISITOR}")
    answer = await withdraw(NO, f"cg_visitor={VISITOR}; _fbc={FBC}")
    assert answer.status_code == 200
    assert answer.json()["remembered"]["denied"] == ["ad_storage", "ad_user_data"]
    assert {name: value for name, (value, _) in set_by(answer).items()} == {"cg_visitor": "", "_fbc": ""}


@pytest.mark.anyio
async def test_who_takes_back_less_keeps_the_platforms_cookies_and_gets_another_id(use, withdraw):
    use(BOTH)
    consent = {"ad_storage": "granted", "ad_personalization": "denied"}
    answer = await withdraw(consent, f"cg_visitor={VISITOR}; _fbc={FBC}")
    assert set_by(answer).keys() == {"cg_visitor"}


@pytest.mark.anyio
async def test_a_withdrawal_of_somebody_unknown_is_refused_as_before(withdraw):
    assert (await withdraw(NO)).status_code == 422
    assert (await withdraw(NO, "cg_visitor=short")).status_code == 422
    refused = await withdraw(NO, f"cg_visitor={VISITOR}", headers={"Origin": "https://stranger.example"})
    assert refused.status_code == 403
    assert set_by(refused) == {}
    assert (await withdraw(YES, f"cg_visitor={VISITOR}")).status_code == 422  # denials only


@pytest.mark.anyio
async def test_a_write_key_s_withdrawal_looks_at_no_cookie(client):
    body = {"user_data": {}, "consent": NO}
    headers = {"Cookie": f"cg_visitor={VISITOR}", "Authorization": "Bearer write-key-of-the-shop"}
    assert (await client.post("/v1/consent", json=body, headers=headers)).status_code == 422
