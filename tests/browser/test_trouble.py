"""What goes wrong around the snippet: no event is lost to another, no answer of the visitor's to the network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import until
from .test_snippet import GPP_NO, GPP_YES, TCF, TCF_NO, YES, events, sent

if TYPE_CHECKING:
    from .conftest import Gateway, Pages

NO = "cg('consent', {ad_storage: 'denied', ad_user_data: 'denied', ad_personalization: 'denied'});"
HEADERS = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}


def refusing(
    page: Any, *statuses: int, body: str = "<h1>proxy</h1>", path: str = "collect", **headers: str
) -> list[Any]:
    """Have the next requests answered so, as the page's own origin may read; returns the requests."""
    seen: list[Any] = []

    def answer(route: Any) -> None:
        seen.append(route.request)
        if len(seen) > len(statuses):
            route.continue_()
            return
        allowed = {**HEADERS, "Access-Control-Allow-Origin": route.request.headers["origin"]}
        route.fulfill(status=statuses[len(seen) - 1], headers={**allowed, **headers}, body=body)

    page.route(f"**/v1/{path}", answer)
    return seen


def test_what_json_cannot_hold_is_its_own_fault_alone(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    odd = "const ring = {}; ring.ring = ring; cg('track', 'Lead', ring); cg('track', 'Lead', {id: 1n});"
    odd += "cg('track'); cg('track', undefined, {}); cg('track', 'Lead', null, null);"
    page.goto(shop("/ring", f"{YES} {odd} cg('track', 'Lead', {{}}, {{event_id: 'ring-1'}})", mirror="fbq"))
    assert gateway.item("meta", "ring-1")["event_name"] == "Lead"
    assert any("circular" in one for one in told)
    assert any("BigInt" in one for one in told)


def test_an_event_is_as_it_was_when_it_happened(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    page.goto(shop("/then", "", page="off"))
    page.wait_for_function("cg.on")
    page.evaluate(
        "const data = {value: 1, currency: 'EUR'}; cg('track', 'Lead', data, {event_id: 'then-1'}); data.value = 9"
    )
    assert gateway.event("Lead", "then-1")["custom_data"]["value"] == 1


def test_a_request_that_failed_costs_no_cookies(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/blip", YES))
    until(lambda: visitor.cookies())
    before = gateway.event("PageView")["user_data"]["anonymous_id"]
    visitor.set_offline(True)
    page.evaluate("cg('track', 'Lead', {}, {event_id: 'blip-1'})")
    page.wait_for_timeout(700)
    visitor.set_offline(False)
    gateway.event("Lead", "blip-1")
    page.wait_for_function("!localStorage['cg.Lead.blip-1']")
    page.evaluate("cg('track', 'Lead', {}, {event_id: 'blip-2'})")
    assert gateway.event("Lead", "blip-2")["user_data"]["anonymous_id"] == before
    with page.expect_response("**/v1/consent") as response:
        page.evaluate(NO)
    assert response.value.status == 200


def test_a_no_is_told_until_it_is_heard(gateway: Gateway, visitor: Any, shop: Any) -> None:
    hurry = "const real = setTimeout; window.setTimeout = (run, ms) => real(run, ms === 3e4 ? 300 : ms);"
    visitor.add_init_script(hurry)
    page = visitor.new_page()
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/heard", YES))
    page.wait_for_function("localStorage['cg.']")
    seen = refusing(page, 404, path="consent")
    page.evaluate(NO)
    until(lambda: len(seen) == 1, page=page)
    assert page.evaluate("!!localStorage['cg.']")
    until(lambda: len(seen) == 2, page=page)
    page.wait_for_function("!localStorage['cg.']")


def test_a_no_with_which_the_page_goes_is_told(visitor: Any, shop: Any, pages: Pages) -> None:
    page = visitor.new_page()
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/gone", YES))
    page.wait_for_function("localStorage['cg.']")
    pages.html["/gone-next"] = "<!doctype html><title>Next</title>"
    page.evaluate(f"{NO} location.href = '/gone-next'")
    until(lambda: visitor.cookies() == [])


def test_an_opt_out_by_gpp_is_an_answer_beside_defaults(gateway: Gateway, visitor: Any, shop: Any) -> None:
    script = f"""
      window.dataLayer = []; function gtag() {{ dataLayer.push(arguments); }}
      gtag('consent', 'default', {{ad_storage: 'granted', ad_user_data: 'granted'}});
      window.__gpp = function (command, callback) {{ window.tell = function (string) {{
        callback({{pingData: {{gppString: string, signalStatus: 'ready', applicableSections: [7]}}}}, true); }};
        tell('{GPP_YES}'); }};
    """
    page = visitor.new_page()
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/gpp-default", script, wait="0", region="US-CA"))
    until(lambda: visitor.cookies())
    with page.expect_response("**/v1/consent") as response:
        page.evaluate(f"tell('{GPP_NO}')")
    assert response.value.json()["remembered"]["opted_out"] is True
    until(lambda: visitor.cookies() == [])
    page.wait_for_function("!localStorage.length")
    # and so it is where it stands from the start, for who comes back
    visitor.add_cookies([{"name": "cg_visitor", "value": "0123456789abcdef0123", "url": gateway.url("/")}])
    page.evaluate("localStorage['cg.'] = JSON.stringify({a: Date.now(), f: []})")
    with page.expect_response("**/v1/consent") as response:
        page.goto(shop("/gpp-no", script.replace(f"tell('{GPP_YES}')", f"tell('{GPP_NO}')"), wait="0", region="US-CA"))
    assert response.value.status == 200


def test_yes_and_no_may_be_booleans(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    no = "cg('consent', {ad_storage: false, ad_user_data: false}); cg('track', 'Lead', {}, {event_id: 'bool-1'})"
    page.goto(shop("/boolean", no, page="off"))
    assert gateway.event("Lead", "bool-1")["consent"] == {"ad_storage": "denied", "ad_user_data": "denied"}
    page.evaluate("cg('consent', {ad_storage: true, ad_user_data: true, ad_personalization: true})")
    assert gateway.item("meta", "bool-1")


@pytest.mark.parametrize(
    ("region", "mine", "word"),
    [
        ("['US-CA']", "US-CA", "denied"),
        ("['US-CA']", "us-ca", "denied"),
        ("['US-CA']", "US", "denied"),
        ("'US-CA'", "US-CA", "denied"),
        ("['US-CA']", "US-NY", "granted"),
    ],
)
def test_a_denial_for_a_part_of_the_country_counts(visitor: Any, shop: Any, region: str, mine: str, word: str) -> None:
    script = f"""
      window.dataLayer = []; function gtag() {{ dataLayer.push(arguments); }}
      gtag('consent', 'default', {{ad_user_data: 'denied', region: {region}}});
      gtag('consent', 'default', {{ad_user_data: 'granted', region: ['US']}});
      cg('track', 'Lead');
    """
    page = visitor.new_page()
    bodies = sent(page)
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/part", script, wait="0", page="off", region=mine))
    assert events(bodies, "Lead")[0]["consent"].get("ad_user_data") == word


def test_where_the_tcf_says_no_nothing_is_read_or_kept(visitor: Any, shop: Any, pages: Pages) -> None:
    script = """
      window.__tcfapi = function (command, version, callback) { window.tell = function (string, yes) {
        const purpose = {consents: {1: yes}};
        callback({eventStatus: 'tcloaded', tcString: string, gdprApplies: true, purpose}, true); };
        STRING };
      cg('track', 'Lead');
    """
    visitor.add_cookies([{"name": "_gcl_aw", "value": "GCL.1795000000.EAIaIQexample", "url": pages.url("/")}])
    page = visitor.new_page()
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/tcf-yes", script.replace("STRING", f"tell('{TCF}', true);")))
    page.wait_for_function("localStorage['cg.']")
    bodies = sent(page)
    with page.expect_response("**/v1/consent") as withdrawn, page.expect_response("**/v1/collect"):
        page.goto(shop("/tcf-no", script.replace("STRING", f"tell('{TCF_NO}', false);")) + "?gclid=EAIaIQnew")
    for body in bodies:
        if "events" in body:
            assert body.keys().isdisjoint(("cookies", "landing"))
    assert withdrawn.value.status == 200  # who came back had allowed it before
    page.wait_for_function("!localStorage.length")


def test_a_no_in_one_tab_is_a_no_in_the_other(visitor: Any, shop: Any) -> None:
    url = shop("/tab", YES, gateway_host="127.0.0.1")  # another site: the id is kept on the device
    first, second = visitor.new_page(), visitor.new_page()
    for page in (first, second):
        with page.expect_response("**/v1/collect"):
            page.goto(url)
        page.wait_for_function("JSON.parse(localStorage['cg.'] || '{}').v")
    bodies = sent(second)
    with first.expect_response("**/v1/consent"):
        first.evaluate(NO)
    first.wait_for_function("!localStorage['cg.']")
    second.wait_for_timeout(100)
    with second.expect_response("**/v1/collect"):
        second.evaluate("cg('track', 'Lead')")
    assert "anonymous_id" not in events(bodies, "Lead")[0]["user_data"]


def test_a_yes_with_which_the_page_goes_is_told(gateway: Gateway, visitor: Any, shop: Any, pages: Pages) -> None:
    pages.html["/reload"] = "<!doctype html><title>Next</title>"
    page = visitor.new_page()
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/yes", "cg('track', 'Lead', {}, {event_id: 'yes-1'})", wait="0"))
    page.wait_for_timeout(100)
    with page.expect_navigation():
        page.evaluate(f"{YES} location.href = '/reload'")
    assert gateway.item("meta", "yes-1")


def test_more_than_a_beacon_holds_goes_in_parts(gateway: Gateway, visitor: Any, shop: Any, pages: Pages) -> None:
    pages.html["/next-large"] = "<!doctype html><title>Next</title>"
    page = visitor.new_page()
    page.goto(shop("/large", YES, page="off"))
    page.wait_for_function("cg.on")
    page.evaluate("window.fetch = () => Promise.reject(new TypeError()); 0")
    large = "cg('track', 'Lead', {notes: Array(30).fill('x'.repeat(300))}, {event_id: 'large-' + n})"
    with page.expect_navigation():
        page.evaluate(f"for (let n = 0; n < 10; n++) {large}; location.href = '/next-large'")
    # a browser takes 64 KiB at once
    until(lambda: len([one for one, _ in gateway.stored("Lead") if one.startswith("large-")]) >= 5)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_what_is_refused_for_a_while_is_sent_again(gateway: Gateway, visitor: Any, shop: Any, status: int) -> None:
    page = visitor.new_page()
    refusing(page, status)
    page.goto(shop(f"/while-{status}", YES + f"cg('track', 'Lead', {{}}, {{event_id: 'while-{status}'}})", page="off"))
    until(lambda: gateway.items("meta", f"while-{status}"), page=page)


def test_one_that_is_too_large_costs_no_other(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    script = "cg('track', 'Lead', {note: 'x'.repeat(300000)}, {event_id: 'huge-1'});"
    script += "cg('track', 'Lead', {}, {event_id: 'huge-2'});"
    page.goto(shop("/huge", YES + script, page="off"))
    until(lambda: gateway.items("meta", "huge-2"), page=page)
    assert gateway.items("meta", "huge-1") == []


def test_global_privacy_control_may_be_said_by_the_page(gateway: Gateway, visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    page.goto(
        shop("/said-gpc", "cg('consent', {gpc: true}); cg('track', 'Lead', {}, {event_id: 'said-1'})", page="off")
    )
    assert gateway.event("Lead", "said-1")["consent"] == {"gpc": True}


@pytest.mark.parametrize("word", ["false", "null", "undefined", "''"])
def test_an_update_that_says_nothing_leaves_a_denial(visitor: Any, shop: Any, word: str) -> None:
    script = f"""
      window.dataLayer = []; function gtag() {{ dataLayer.push(arguments); }}
      gtag('consent', 'default', {{ad_user_data: 'denied'}}); gtag('consent', 'update', {{ad_user_data: {word}}});
      cg('track', 'Lead');
    """
    page = visitor.new_page()
    bodies = sent(page)
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/nothing", script, wait="0", page="off"))
    assert events(bodies, "Lead")[0]["consent"]["ad_user_data"] == "denied"


def test_only_click_ids_are_taken_for_such(visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    page.goto(shop("/clicks", YES) + "?gclid=EAIaIQfirst")
    page.wait_for_function("localStorage['cg.']")
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/clicks-2", YES) + "?cid=12&mc_cid=7&utm_source=x")
    assert page.evaluate("JSON.parse(localStorage['cg.']).l.query") == "gclid=EAIaIQfirst"


def test_a_time_to_come_again_may_be_a_date(visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    seen = refusing(page, *[503] * 100, **{"Retry-After": "Wed, 21 Oct 2037 07:28:00 GMT"})
    page.goto(shop("/date", YES, page="off"))
    page.evaluate("cg('track', 'Lead')")
    page.wait_for_timeout(2500)
    assert 0 < len(seen) <= 4


def test_what_another_script_has_kept_is_stepped_over(gateway: Gateway, visitor: Any, shop: Any, pages: Pages) -> None:
    page = visitor.new_page()
    page.goto(shop("/kept", "", page="off"))
    event = {"event_name": "Lead", "event_id": "kept-1", "event_time": 0, "event_source_url": pages.url("/kept")}
    stored = json.dumps(
        {"e": event, "c": {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted"}}
    )
    page.evaluate(
        "(text) => { localStorage['cg.a'] = 'no JSON'; localStorage['cg.Lead.kept-1'] ="
        " text.replace('\"event_time\": 0', '\"event_time\": ' + Date.now() / 1e3); }",
        stored,
    )
    page.goto(shop("/kept-2", "", page="off", wait="0"))
    assert gateway.item("meta", "kept-1")


def test_what_is_wrong_with_an_event_is_said_in_the_console(visitor: Any, shop: Any) -> None:
    page = visitor.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/wrong", YES + "cg('track', 'Purchase', {order_id: '1', value: 5, currency: 'EURO'})"))
    until(lambda: any("/custom_data/currency" in one for one in told), page=page)
    with page.expect_response("**/v1/collect"):
        page.goto(shop("/wrong-key", YES, key="nobody's"))
    until(lambda: any("key" in one for one in told), page=page)
