"""The snippet in a real browser against a real gateway: what it sends, when, and what it leaves alone."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from gateway import registry
from gateway.model.event import STANDARD_NAMES
from gateway.web.snippet import served

from .conftest import KEY, STRANGER, until

if TYPE_CHECKING:
    from .conftest import Gateway, Pages

YES = "cg('consent', {ad_storage: 'granted', ad_user_data: 'granted', ad_personalization: 'granted'});"
TCF = "CQuCLYAQuCLYAEsABBENAtEgALIAAAAAAAYgHtQAgF5gPaAAAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"  # 1, 3, 4, 7 and their vendors
TCF_NO = "CQuCLYAQuCLYAEsABBENAtEgAAAAAAAAAAYgAAAAAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"
GPP_NO, GPP_YES = "DBABLA~CVQVAAAAAACA.YA", "DBABLA~CVQqAAAAAACA.QA"


def sent(page: Any) -> list[dict[str, Any]]:
    """The bodies that the page posts from now on."""
    bodies: list[dict[str, Any]] = []

    def note(request: Any) -> None:
        if request.method == "POST" and "/v1/" in request.url:
            bodies.append({"path": request.url.partition("/v1/")[2], **json.loads(request.post_data or "{}")})

    page.on("request", note)
    return bodies


def events(bodies: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [one for body in bodies for one in body.get("events", ()) if one["event_name"] == name]


def test_it_needs_no_third_party(gateway: Gateway, visitor: Any, shop: Any) -> None:
    third = '<script async src="https://connect.pixel.example/events.js"></script>'
    visitor.route("**/*.example/**", lambda route: route.abort())
    page = visitor.new_page()
    page.goto(
        shop("/blocked", YES + "cg('track', 'Lead', {}, {event_id: 'blocked-1'})", third, mirror="fbq ttq pintrk")
    )
    assert gateway.item("meta", "blocked-1")["event_name"] == "Lead"


def test_an_event_outlives_its_page(gateway: Gateway, visitor: Any, shop: Any, pages: Pages) -> None:
    pages.html["/next"] = "<!doctype html><title>Next</title>"
    page = visitor.new_page()
    page.goto(shop("/away", YES))
    page.wait_for_function("cg.on")
    with page.expect_navigation():
        page.evaluate("cg('track', 'Lead', {}, {event_id: 'away-1'}); location.href = '/next'")
    assert gateway.item("meta", "away-1")["event_name"] == "Lead"


def test_an_event_outlives_a_page_that_still_waits_for_consent(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    page.goto(shop("/early", wait="60000", page="off"))
    page.wait_for_function("cg.on")
    page.evaluate("cg('track', 'Lead', {}, {event_id: 'early-1'})")
    page.goto("about:blank")
    event = gateway.event("Lead", "early-1")
    assert event["user_data"] == {}  # nobody has said yes


def test_offline_and_back(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/offline", YES))
    page.wait_for_function("localStorage['cg.']")
    visitor.set_offline(True)
    page.evaluate("cg('track', 'Lead', {}, {event_id: 'off-1', user_data: {email: 'jane.doe@example.com'}})")
    [left] = page.evaluate("Object.entries(localStorage).filter(([key]) => key.startsWith('cg.Lead'))")
    assert left[0] == "cg.Lead.off-1"
    assert "jane.doe" not in left[1]
    visitor.set_offline(False)
    item = gateway.item("meta", "off-1")
    assert item["event_time"] == int(json.loads(left[1])["e"]["event_time"])
    assert item["user_data"]["em"]  # in memory it was still there
    page.wait_for_function("!localStorage['cg.Lead.off-1']")
    assert [one for one, _ in gateway.stored("Lead")].count("off-1") == 1


def test_what_could_not_be_sent_comes_from_the_next_page(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/before", YES))
    page.wait_for_function("localStorage['cg.']")
    visitor.set_offline(True)
    page.evaluate("cg('track', 'Lead', {}, {event_id: 'later-1', user_data: {email: 'jane.doe@example.com'}})")
    page.close()
    visitor.set_offline(False)
    page = visitor.new_page()
    page.goto(shop("/after", wait="0"))  # it has not asked again: what was said with the event holds
    item = gateway.item("meta", "later-1")
    assert item["event_source_url"].endswith("/before")
    assert "em" not in item["user_data"]  # raw, it is kept nowhere
    page.wait_for_function("!localStorage['cg.Lead.later-1']")


def test_a_busy_gateway_is_asked_again(gateway: Gateway, visitor: Any, shop: Any) -> None:
    asked: list[dict[str, Any]] = []

    def busy(route: Any) -> None:
        asked.append(json.loads(route.request.post_data))
        if len(asked) > 1:
            route.continue_()
            return
        headers = {"Retry-After": "0", "Access-Control-Allow-Origin": "*"}
        route.fulfill(status=503, headers=headers, content_type="application/problem+json", body="{}")

    page = visitor.new_page()
    page.route("**/v1/collect", busy)
    page.goto(shop("/busy", YES + "cg('track', 'Lead', {}, {event_id: 'busy-1'})", page="off"))
    until(lambda: gateway.items("meta", "busy-1"), page=page)
    first, second = (body["events"][0] for body in asked[:2])
    assert first == second


def test_single_page_navigation_is_counted(visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    bodies = sent(page)
    url = shop("/single", YES)
    page.goto(url)
    for step in (
        "history.pushState({}, '', '/single/two')",
        "history.replaceState({}, '', '/single/two?tidy=1')",
        "history.pushState({}, '', '/single/two?page=2')",
        "history.back()",
        "location.hash = '#/three'",
    ):
        page.evaluate(step)
        page.wait_for_timeout(700)  # the snippet looks twice a second
    base = url.removesuffix("/single")
    until(lambda: len(events(bodies, "PageView")) == 5, page=page)
    assert [(one["event_source_url"], one["referrer_url"]) for one in events(bodies, "PageView")] == [
        (f"{base}/single", ""),
        (f"{base}/single/two", f"{base}/single"),
        (f"{base}/single/two?page=2", f"{base}/single/two?tidy=1"),
        (f"{base}/single/two?tidy=1", f"{base}/single/two?page=2"),
        (f"{base}/single/two?tidy=1#/three", f"{base}/single/two?tidy=1"),
    ]


PIXELS = """
window.calls = [];
for (const name of ['fbq', 'pintrk', 'snaptr', 'gtag']) window[name] = (...given) => calls.push([name, ...given]);
window.ttq = {track(...given) { calls.push(['ttq', this === ttq, ...given]); }};
"""


def test_pixels_are_told_the_same_id(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    order = "{order_id: 'mirror-1', value: 9.5, currency: 'EUR', content_ids: ['A']}"
    script = PIXELS + YES + f"cg('track', 'Purchase', {order}, {{}}, function (id) {{ window.told = id; }});"
    script += (
        "cg('track', 'Quiz', {}, {event_id: 'quiz-1'}); cg('track', 'Lead', {}, {event_id: 'own-1', mirror: false})"
    )
    page.goto(shop("/mirror", script, mirror="fbq ttq pintrk snaptr gtag", page="off"))
    data = {"order_id": "mirror-1", "value": 9.5, "currency": "EUR", "content_ids": ["A"]}
    page.wait_for_function("calls.length === 8")
    assert page.evaluate("calls") == [
        ["fbq", "track", "Purchase", data, {"eventID": "mirror-1"}],
        [
            "snaptr",
            "track",
            "PURCHASE",
            data | {"client_dedup_id": "mirror-1", "transaction_id": "mirror-1", "price": 9.5},
        ],
        ["pintrk", "track", "checkout", data | {"event_id": "mirror-1"}],
        ["ttq", True, "Purchase", data, {"event_id": "mirror-1"}],
        ["gtag", "event", "purchase", data | {"transaction_id": "mirror-1"}],
        # a name of the site's own: what has no such events is not told
        ["pintrk", "track", "quiz", {"event_id": "quiz-1"}],
        ["ttq", True, "Quiz", {}, {"event_id": "quiz-1"}],
        ["gtag", "event", "quiz", {"transaction_id": "quiz-1"}],
    ]
    assert page.evaluate("told") == "mirror-1"
    assert gateway.item("meta", "mirror-1")["event_id"] == "mirror-1"


def test_pixels_are_told_the_names_that_the_gateway_sends(visitor: Any, shop: Any) -> None:
    found = registry.load().destinations
    names = [name for name in found["meta"].names if name in STANDARD_NAMES]
    page = visitor.new_page()
    tracks = f"for (const name of {json.dumps(names)}) cg('track', name, {{}}, {{event_id: name}})"
    page.goto(shop("/names", PIXELS + YES + tracks, mirror="snaptr pintrk", page="off"))
    page.wait_for_function(f"calls.filter(([pixel]) => pixel === 'pintrk').length === {len(names)}")
    told: dict[str, dict[str, str]] = {"snaptr": {}, "pintrk": {}}
    for pixel, _, name, data in page.evaluate("calls"):
        told[pixel][data.get("client_dedup_id") or data["event_id"]] = name
    snapchat = found["snapchat"].names
    assert {"Purchase", "AddToCart", "Lead", "Schedule"} <= told["snaptr"].keys() & snapchat.keys()
    for name in told["snaptr"].keys() & snapchat.keys():
        assert (name, told["snaptr"][name]) == (name, snapchat[name])
    for name, own in found["pinterest"].names.items():
        if name in told["pintrk"] and own != "custom":
            assert (name, told["pintrk"][name]) == (name, own.replace("_", ""))


def test_no_pixel_is_told_of_who_said_no(visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    no = "cg('consent', {ad_storage: 'denied', ad_user_data: 'denied'}); cg('track', 'Lead')"
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/silent", PIXELS + no, mirror="fbq ttq pintrk snaptr gtag"))
    assert page.evaluate("calls") == []
    page.evaluate(YES)
    page.wait_for_function("calls.length")
    assert page.evaluate("calls.map(([name]) => name)").count("fbq") == 2


def test_pixels_are_left_alone_unless_the_site_asks(visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/unasked", PIXELS + YES + "cg('track', 'Lead')", mirror="fbq"))
    assert {name for name, *_ in page.evaluate("calls")} == {"fbq"}


def test_global_privacy_control_is_a_denial(gateway: Gateway, visitor: Any, shop: Any) -> None:
    visitor.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})")
    page = visitor.new_page()
    with page.expect_response("**/v1/collect") as response:
        page.goto(shop("/gpc", YES + "cg('track', 'Lead', {}, {event_id: 'gpc-1'})"))
    assert response.value.json()["visitor"] == {"storage": "denied", "cookies": True}
    assert gateway.event("Lead", "gpc-1")["consent"]["gpc"] is True
    assert visitor.cookies() == []


def test_a_tc_string_is_handed_on_and_followed(gateway: Gateway, visitor: Any, shop: Any) -> None:
    script = """
      window.__tcfapi = function (command, version, callback) { window.tell = function (status, string, more) {
        callback(Object.assign({eventStatus: status, tcString: string, gdprApplies: true}, more), true); };
        tell('cmpuishown', 'CQnot-yet'); };
      cg('track', 'Lead', {}, {event_id: 'tcf-1'});
    """
    page = visitor.new_page()
    bodies = sent(page)
    page.goto(shop("/tcf", script, wait="60000", page="off"))
    page.wait_for_function("!!window.tell")
    assert bodies == []  # the visitor has not answered
    with page.expect_response("**/v1/collect") as response:
        page.evaluate(
            f"tell('useractioncomplete', '{TCF}', {{addtlConsent: '2~89~dv.', purpose: {{consents: {{1: true}}}}}})"
        )
    assert response.value.json()["visitor"]["storage"] == "granted"
    consent = events(bodies, "Lead")[0]["consent"]
    assert consent == {"tcf": TCF, "additional_consent": "2~89~dv."}
    page.wait_for_function("localStorage['cg.']")
    with page.expect_response("**/v1/consent") as response:  # they open the banner again, and say no
        page.evaluate(f"tell('useractioncomplete', '{TCF_NO}', {{purpose: {{consents: {{1: false}}}}}})")
    assert "ad_storage" in response.value.json()["remembered"]["denied"]
    page.wait_for_function("!localStorage.length")
    until(lambda: visitor.cookies() == [])


def test_a_tc_string_that_does_not_apply_is_left_out(visitor: Any, shop: Any) -> None:
    script = f"""
      window.__tcfapi = function (command, version, callback) {{
        callback({{eventStatus: 'tcloaded', tcString: '{TCF}', gdprApplies: false}}, true); }};
      cg('track', 'Lead');
    """
    page = visitor.new_page()
    bodies = sent(page)
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/tcf-us", script, wait="60000", page="off", region="US-CA"))
    assert events(bodies, "Lead")[0]["consent"] == {"region": "US-CA"}


def test_a_gpp_string_is_handed_on_with_its_sections(visitor: Any, shop: Any) -> None:
    script = """
      window.__gpp = function (command, callback) { window.tell = function (string, status, sections) {
        const ping = {gppString: string, signalStatus: status, applicableSections: sections};
        callback({eventName: 'signalStatus', pingData: ping}, true); };
        tell('', 'not ready', []); };
      cg('track', 'Lead');
    """
    page = visitor.new_page()
    bodies = sent(page)
    page.goto(shop("/gpp", script, wait="60000", page="off", region="US-CA"))
    page.wait_for_function("!!window.tell")
    with page.expect_response("**/v1/collect") as response:
        page.evaluate(f"tell('{GPP_YES}', 'ready', [7])")
    assert events(bodies, "Lead")[0]["consent"] == {"region": "US-CA", "gpp": GPP_YES, "gpp_sid": [7]}
    assert response.value.json()["results"][0]["destinations"]["meta"] == "queued"
    page.wait_for_function("localStorage['cg.']")
    with page.expect_response("**/v1/consent") as response:
        page.evaluate(f"tell('{GPP_NO}', 'ready', [-1])")
    assert response.value.json()["remembered"]["opted_out"] is True
    assert bodies[-1]["consent"] == {"region": "US-CA", "gpp": GPP_NO, "gpp_sid": [-1]}


def test_defaults_for_some_regions_deny_where_the_region_is_unknown(visitor: Any, shop: Any) -> None:
    script = """
      window.dataLayer = []; function gtag() { dataLayer.push(arguments); }
      const some = {ad_storage: 'denied', ad_user_data: 'denied', region: ['AT', 'US-CA'], wait_for_update: 500};
      gtag('consent', 'default', some); gtag('set', 'ads_data_redaction', true);
      gtag('consent', 'default', {ad_storage: 'granted', ad_user_data: 'granted'});
      cg('track', 'Lead');
    """
    for region, word in (
        ("", "denied"),
        ("AT", "denied"),
        ("US-CA", "denied"),
        ("US-NY", "granted"),
        ("FR", "granted"),
    ):
        page = visitor.new_page()
        bodies = sent(page)
        with page.expect_response("**/v1/collect"):
            page.goto(shop(f"/regional{region}", script, wait="0", page="off", region=region))
        flags = events(bodies, "Lead")[0]["consent"]
        assert (region, flags["ad_storage"], flags["ad_user_data"]) == (region, word, word)
        assert bodies[0]["pending"] is True
        page.close()


def test_it_leaves_one_global_and_touches_no_other(visitor: Any, shop: Any) -> None:
    note = "window.before = Object.getOwnPropertyNames(window).concat('before')"
    page = visitor.new_page()
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/globals", YES, f"<script>{note}</script>"))
    new = page.evaluate("Object.getOwnPropertyNames(window).filter(name => !before.includes(name))")
    assert new == ["cg"]
    assert page.evaluate("Object.keys(cg)") == ["on"]


def test_a_copy_on_the_site_s_own_server_finds_the_gateway(gateway: Gateway, visitor: Any, pages: Pages) -> None:
    pages.html["/copy.js"] = served().plain.decode()
    pages.html["/copy"] = (
        "<script>window.cg = function () { (cg.q = cg.q || []).push(arguments); };"
        f"cg('track', 'Lead', {{}}, {{event_id: 'copy-1'}}); {YES}</script>"
        f'<script async src="/copy.js" data-url="{gateway.url()}" data-key="{KEY}"></script>'
    )
    page = visitor.new_page()
    page.goto(pages.url("/copy"))
    assert gateway.item("meta", "copy-1")["event_name"] == "Lead"


def test_a_page_that_is_rendered_in_advance_counts_once_it_is_seen(visitor: Any, shop: Any) -> None:
    visitor.add_init_script("Object.defineProperty(document, 'prerendering', {value: true})")
    page = visitor.new_page()
    bodies = sent(page)
    page.goto(shop("/advance", YES, wait="0"))
    page.wait_for_timeout(700)
    assert bodies == []
    with page.expect_response("**/v1/collect"):
        page.evaluate("document.dispatchEvent(new Event('prerenderingchange'))")
    assert len(events(bodies, "PageView")) == 1


def test_a_strict_content_security_policy_suits_it(gateway: Gateway, visitor: Any, pages: Pages) -> None:
    digest = base64.b64encode(hashlib.sha384(served().plain).digest()).decode()
    pages.html["/app.js"] = (
        "window.cg=function(){(cg.q=cg.q||[]).push(arguments)};" + YES + "cg('track','Lead',{},{event_id:'csp-1'})"
    )
    pages.html["/csp"] = (
        f'<script src="/app.js"></script><script async crossorigin integrity="sha384-{digest}"'
        f' src="{gateway.url("/collect.js")}" data-key="made-up-public-key-000001"></script>'
    )
    origin = gateway.url()
    policy = f"default-src 'none'; script-src 'self' {origin}; connect-src {origin}; require-trusted-types-for 'script'"
    pages.headers["/csp"] = {"Content-Security-Policy": policy, "Cross-Origin-Embedder-Policy": "require-corp"}
    page = visitor.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(pages.url("/csp"))
    gateway.item("meta", "csp-1")
    assert [text for text in said if "favicon" not in text] == []


def test_a_stranger_s_page_is_refused_and_nothing_is_stored(
    gateway: Gateway, visitor: Any, shop: Any, pages: Pages
) -> None:
    shop("/stolen", YES + "cg('track', 'Contact', {}, {event_id: 'stolen-1'})")
    page = visitor.new_page()
    statuses: list[int] = []
    page.on("response", lambda response: statuses.append(response.status) if "/v1/" in response.url else None)
    page.goto(pages.url("/stolen", STRANGER))
    until(lambda: statuses, page=page)
    assert set(statuses) == {403}
    page.goto("about:blank")
    assert "stolen-1" not in [event_id for event_id, _ in gateway.stored()]
    assert visitor.cookies() == []


def test_a_gateway_of_another_site_leaves_the_id_to_the_page(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    with page.expect_response("**/v1/collect") as response:
        page.goto(shop("/foreign", YES, gateway_host="127.0.0.1") + "?fbclid=IwAR2Foreign")
    visitor_id = response.value.json()["visitor"]["anonymous_id"]
    assert visitor.cookies() == []
    page.wait_for_function("localStorage['cg.']")
    page.goto(shop("/foreign-2", YES + "cg('track', 'Lead', {}, {event_id: 'foreign-1'})", gateway_host="127.0.0.1"))
    event = gateway.event("Lead", "foreign-1")
    assert event["user_data"]["anonymous_id"] == visitor_id
    assert event["user_data"]["fbc"].endswith(".IwAR2Foreign")
    assert event["user_data"]["fbc"] == gateway.item("meta", "foreign-1")["user_data"]["fbc"]


def test_where_any_page_may_post_answers_are_read_without_cookies(
    gateway: Gateway, visitor: Any, shop: Any, pages: Pages
) -> None:
    page = visitor.new_page()
    bodies = sent(page)
    shop("/any", "cg('track', 'Lead', {}, {event_id: 'any-1'})", key="made-up-public-key-000002")
    page.goto(pages.url("/any", STRANGER))
    page.wait_for_function("JSON.parse(localStorage['cg.'] || '{}').v")
    assert len(events(bodies, "Lead")) == 2  # the second, without cookies, was confirmed
    page.evaluate("cg('track', 'Search', {}, {event_id: 'any-2'})")
    gateway.event("Search", "any-2")
    page.wait_for_function("!localStorage['cg.Search.any-2']")
    assert len(events(bodies, "Search")) == 1


def test_the_cart_is_told(gateway: Gateway, visitor: Any, shop: Any, pages: Pages) -> None:
    url = shop("/cart", YES + "cg('track', 'AddToCart', {}, {event_id: 'cart-1', context: {theme: 'dark'}})")
    visitor.add_cookies([{"name": "cart", "value": "Z2NwLWV1cm9wZQ%3Fkey%3D1a2b", "url": pages.url("/")}])
    page = visitor.new_page()
    bodies = sent(page)
    page.goto(url)
    context = gateway.event("AddToCart", "cart-1")["context"]
    assert events(bodies, "AddToCart")[0]["context"] == {
        **context,
        "cart_token": "Z2NwLWV1cm9wZQ",
    }  # which is not stored
    assert context["theme"] == "dark"
    assert gateway.event("AddToCart", "cart-1")["user_data"]["language"] == "de-DE"


def test_cookies_of_pixels_are_read_and_others_are_not(visitor: Any, shop: Any, pages: Pages) -> None:
    url = shop("/cookies", YES, gateway_host="127.0.0.1")
    given = {
        "_ttp": "2F7h37YkS1j57AYSKTI7IHhJPYH",
        "_gcl_aw": "GCL.1795000000.EAIaIQexample",
        "session": "secret",
        "_fbp": "x",
    }
    visitor.add_cookies([{"name": name, "value": value, "url": pages.url("/")} for name, value in given.items()])
    page = visitor.new_page()
    bodies = sent(page)
    with page.expect_response("**/v1/collect"):
        page.goto(url)
    assert set(bodies[0]["cookies"].split("; ")) == {f"{name}={given[name]}" for name in ("_ttp", "_gcl_aw", "_fbp")}


def test_who_the_page_knows_goes_along_and_can_be_forgotten(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    page.goto(shop("/known", YES + "cg('identify', {email: 'jane.doe@example.com'})"))
    page.evaluate("cg('track', 'Lead', {}, {event_id: 'known-1'})")
    assert gateway.item("meta", "known-1")["user_data"]["em"]
    page.evaluate("cg('identify', null); cg('track', 'Lead', {}, {event_id: 'known-2'})")
    assert "em" not in gateway.item("meta", "known-2")["user_data"]
    assert "jane" not in page.evaluate("JSON.stringify(localStorage)")


def test_nothing_is_thrown_into_the_page(gateway: Gateway, visitor: Any, shop: Any) -> None:
    """`visitor` fails the test if anything is."""
    visitor.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('forbidden'); }})")
    page = visitor.new_page()
    script = "window.dataLayer = [null, 1, ['consent'], {0: 'consent', 1: 'update'}];"
    script += "window.__tcfapi = function () { throw 1; };"
    script += "window.__gpp = function (command, callback) { callback(null, false); };"
    script += (
        "cg(); cg('nothing'); cg('track', 'Lead', {}, {event_id: 'odd-1'}, function () { throw new Error('mine'); });"
    )
    page.goto(shop("/odd", script + YES))
    gateway.item("meta", "odd-1")
    assert page.evaluate("cg('track', 'Lead', {}, {event_id: 'odd-2'})") == "odd-2"
    page.evaluate("window.fetch = undefined; cg('track', 'Lead')")
    page.wait_for_timeout(700)  # one round of what it does


def test_it_counts_once_when_it_is_there_twice(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    bodies = sent(page)
    twice = f'<script src="{gateway.url("/collect.js")}" data-key="made-up-public-key-000001"></script>'
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/twice", YES, twice))
    assert len(events(bodies, "PageView")) == 1


def test_a_wrong_clock_does_not_cost_the_event(gateway: Gateway, visitor: Any, shop: Any) -> None:
    visitor.add_init_script("const real = Date.now; Date.now = () => real() + 3600e3")
    page = visitor.new_page()
    page.goto(shop("/clock", YES + "cg('track', 'Lead', {}, {event_id: 'clock-1'})"))
    event = gateway.event("Lead", "clock-1")
    assert abs(event["event_time"] - gateway.item("meta", "clock-1")["event_time"]) <= 1
    assert abs(event["event_time"] - time.time()) < 60
