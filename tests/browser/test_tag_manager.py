"""deploy/tag-manager.tpl: its parts are what Tag Manager imports, and its code loads the snippet and tells it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import KEY

if TYPE_CHECKING:
    from .conftest import Gateway, Pages

TEMPLATE = Path(__file__).parents[2] / "deploy/tag-manager.tpl"

#: What Tag Manager gives a template (https://developers.google.com/tag-platform/tag-manager/templates/api), as far as
#: this one asks for it. Consent types without a state count as granted there.
SANDBOX = """
window.consent = {}; window.listeners = [];
const stored = {};
const api = {
  addConsentListener: (type, run) => listeners.push([type, run]),
  callInWindow: (path, ...given) => window[path](...given),
  copyFromWindow: (key) => window[key],
  createArgumentsQueue: (fn, queue) => {
    const [, property] = queue.split('.');
    window[fn] = window[fn] || function () { window[fn][property].push(arguments); };
    window[fn][property] = window[fn][property] || [];
    return window[fn];
  },
  encodeUriComponent: encodeURIComponent,
  injectScript: (url, done, failed, token) => {
    if (stored[token]) return done();
    stored[token] = 1;
    const script = document.createElement('script');
    Object.assign(script, {src: url, async: true, onload: done, onerror: failed});
    document.head.append(script);
  },
  isConsentGranted: (type) => consent[type] !== 'denied',
  templateStorage: {getItem: (key) => stored[key], setItem: (key, value) => { stored[key] = value; }},
};
window.tag = (given) => new Function('require', 'data', CODE)((name) => {
  if (!api[name]) throw new Error('not asked for: ' + name);
  return api[name];
}, {gateway: GATEWAY, key: KEY, gtmOnSuccess() { window.done = true; }, gtmOnFailure() {}, ...given});
window.say = (word) => listeners.forEach(([type, run]) => { consent[type] = word; run(type, word === 'granted'); });
"""


@pytest.fixture(scope="module")
def parts() -> dict[str, str]:
    found = re.split(r"^___([A-Z_]+)___$", TEMPLATE.read_text(), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(found[1::2], found[2::2], strict=True)}


@pytest.fixture
def page(gateway: Gateway, pages: Pages, visitor: Any, parts: dict[str, str]) -> Any:
    code = json.dumps(parts["SANDBOXED_JS_FOR_WEB_TEMPLATE"]).replace("</", "<\\/")
    values = f"const CODE = {code}, GATEWAY = {json.dumps(gateway.url())}, KEY = {json.dumps(KEY)};"
    pages.html["/tags"] = f"<!doctype html><title>Tags</title><script>{values}{SANDBOX}</script>"
    page = visitor.new_page()
    page.goto(pages.url("/tags"))
    return page


def test_its_parts_can_be_read(parts: dict[str, str]) -> None:
    info = json.loads(parts["INFO"])
    assert (info["type"], info["containerContexts"]) == ("TAG", ["WEB"])
    names = [one["name"] for one in json.loads(parts["TEMPLATE_PARAMETERS"])]
    code = parts["SANDBOXED_JS_FOR_WEB_TEMPLATE"]
    assert set(re.findall(r"\bdata\.(\w+)", code)) == {*names, "gtmOnSuccess", "gtmOnFailure"}
    granted = {one["instance"]["key"]["publicId"] for one in json.loads(parts["WEB_PERMISSIONS"])}
    assert granted == {"access_globals", "access_consent", "access_template_storage", "inject_script"}


def test_a_tag_loads_the_snippet_and_others_tell_it(gateway: Gateway, page: Any) -> None:
    page.evaluate("tag({event: 'Purchase', customData: {order_id: 'gtm-1', value: 1, currency: 'EUR'}})")
    page.wait_for_function("window.done && cg.on")
    page.evaluate("tag({event: 'Lead', eventId: 'gtm-2', userData: {email: 'jane.doe@example.com'}})")
    page.evaluate("cg('consent', {ad_storage: 'granted', ad_user_data: 'granted', ad_personalization: 'granted'})")
    assert gateway.item("meta", "gtm-1")["event_name"] == "Purchase"
    assert gateway.item("meta", "gtm-2")["user_data"]["em"]
    assert gateway.event("PageView")["event_source_url"].endswith("/tags")


def test_a_banner_inside_tag_manager_is_heard_where_the_site_says_that_there_is_one(
    gateway: Gateway, page: Any
) -> None:
    page.evaluate("TYPES = ['ad_storage', 'ad_user_data', 'ad_personalization', 'analytics_storage']")
    page.evaluate("TYPES.forEach((type) => { consent[type] = 'denied'; }); tag({consent: true})")
    page.evaluate("tag({consent: true, event: 'Lead', eventId: 'gtm-3'})")
    assert gateway.event("Lead", "gtm-3")["consent"]["ad_user_data"] == "denied"
    assert page.evaluate("listeners.length") == 4
    page.evaluate("say('granted')")
    assert gateway.item("meta", "gtm-3")["event_name"] == "Lead"


def test_a_banner_that_restores_a_yes_withdraws_nothing(page: Any, visitor: Any) -> None:
    deny = "TYPES = ['ad_storage', 'ad_user_data', 'ad_personalization', 'analytics_storage'];"
    deny += "TYPES.forEach((type) => { consent[type] = 'denied'; });"
    for _ in range(2):  # a new visitor, who says yes; one who comes back
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url.rpartition("/")[2]))
        page.evaluate(f"{deny} tag({{consent: true}})")
        page.wait_for_function("window.done && cg.on")
        page.wait_for_timeout(600)
        with page.expect_response("**/v1/collect") as response:
            page.evaluate("say('granted')")
        assert response.value.json()["visitor"]["storage"] == "granted"
        assert "consent" not in asked
        page.wait_for_function("localStorage['cg.']")
        page.reload()
    assert any(one["name"] == "cg_visitor" for one in visitor.cookies())


def test_nothing_is_taken_for_consent_where_it_does_not(gateway: Gateway, page: Any) -> None:
    page.evaluate("tag({event: 'Lead', eventId: 'gtm-4'})")
    assert gateway.event("Lead", "gtm-4")["consent"] == {}
    assert gateway.items("meta", "gtm-4") == []
