"""The example of docs/examples/shop.html, as a visitor meets it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import EVENTS, KEY, SHOP, until

if TYPE_CHECKING:
    from .conftest import Gateway, Pages

EXAMPLE = Path(__file__).parents[2] / "docs/examples/shop.html"


@pytest.fixture
def order(gateway: Gateway, pages: Pages) -> Any:
    """The example's page for an order of this number."""

    def make(number: str) -> str:
        html = EXAMPLE.read_text().replace("https://events.shop.example", gateway.url()).replace("PUBLIC_KEY", KEY)
        assert html.count(gateway.url()) == 1
        assert html.count(KEY) == 1
        pages.html[f"/{number}"] = html.replace("10042", number)
        return pages.url(f"/{number}?fbclid=IwAR2Example{number}&gclid=EAIaIQobChMI{number}example")

    return make


def cookies(visitor: Any) -> dict[str, Any]:
    return {one["name"]: one for one in visitor.cookies()}


def answered(page: Any, path: str = "/v1/collect") -> Any:
    return page.expect_response(lambda response: path in response.url and response.request.method == "POST")


def kept(page: Any) -> list[str]:
    return page.evaluate("Object.keys(localStorage).filter((key) => key !== 'banner')")


def test_who_says_yes_is_told_of_with_click_and_browser_ids(gateway: Gateway, visitor: Any, order: Any) -> None:
    page = visitor.new_page()
    page.goto(order("71001"))
    assert cookies(visitor) == {}
    with answered(page):
        page.click("#yes")
    item = gateway.item("meta", "71001")
    found = cookies(visitor)
    assert found.keys() == {"_fbc", "_fbp", "cg_visitor"}
    assert item["event_name"] == "Purchase"
    assert item["custom_data"]["value"] == 25
    assert item["user_data"]["fbc"] == found["_fbc"]["value"]
    assert found["_fbc"]["value"].endswith(".IwAR2Example71001")
    assert item["user_data"]["fbp"] == found["_fbp"]["value"]
    assert item["user_data"]["client_user_agent"].startswith("Mozilla/5.0")
    event = gateway.event("Purchase", "71001")
    assert event["user_data"]["anonymous_id"] == found["cg_visitor"]["value"]
    assert gateway.item("google", "71001")["adIdentifiers"]["gclid"] == "EAIaIQobChMI71001example"
    assert event["consent"]["ad_storage"] == "granted"
    for name, one in found.items():
        assert one["secure"]
        assert one["sameSite"] == "Lax"
        assert one["domain"] == ".shop.localhost"
        assert one["httpOnly"] is (name == "cg_visitor")
        assert 0 < one["expires"] - event["event_time"] <= 90 * 86400 + 60


def test_who_says_no_leaves_nothing_and_nothing_is_left_of_them(gateway: Gateway, visitor: Any, order: Any) -> None:
    page = visitor.new_page()
    page.goto(order("71002"))
    with answered(page) as response:
        page.click("#no")
    statuses = [one["destinations"] for one in response.value.json()["results"]]
    assert {status for one in statuses for status in one.values()} <= {"skipped:consent", "skipped:event_not_mapped"}
    assert response.value.json()["visitor"] == {"storage": "denied", "cookies": True}
    event = gateway.event("Purchase", "71002")
    assert "anonymous_id" not in event["user_data"]
    assert "fbclid" not in event["event_source_url"]
    assert "context" not in event
    assert cookies(visitor) == {}
    assert kept(page) == []
    assert gateway.items("meta", "71002") == []


def test_who_answers_late_is_told_of_once_they_have(gateway: Gateway, visitor: Any, order: Any) -> None:
    """The page does not wait for ever: what it sent without an answer comes again with one, as the same event."""
    page = visitor.new_page()
    with answered(page) as response:
        page.goto(order("71003"))
    assert response.value.json()["accepted"] == 2  # the page and the order
    assert cookies(visitor) == {}
    with answered(page) as response:
        page.click("#yes")
    assert response.value.json()["duplicates"] == 2
    assert gateway.item("meta", "71003")["user_data"]["em"]
    assert cookies(visitor).keys() == {"_fbc", "_fbp", "cg_visitor"}


def test_who_answers_on_a_page_that_was_loaded_again_is_told_of_as_well(
    gateway: Gateway, visitor: Any, order: Any
) -> None:
    page = visitor.new_page()
    with answered(page):
        page.goto(order("71008"))
    with answered(page) as response:
        page.reload()
    assert response.value.json()["duplicates"] == 1  # the order, of which nobody may hear yet
    page.click("#yes")
    assert gateway.item("meta", "71008")["user_data"]["em"]


def test_who_takes_it_back_has_no_cookie_any_more(gateway: Gateway, visitor: Any, order: Any) -> None:
    page = visitor.new_page()
    page.goto(order("71004"))
    with answered(page):
        page.click("#yes")
    until(lambda: "cg_visitor" in cookies(visitor))
    page.wait_for_function("localStorage['cg.']")
    before = cookies(visitor)["cg_visitor"]["value"]
    with answered(page, "/v1/consent") as response:
        page.evaluate("answer('denied')")
    assert response.value.status == 200
    assert response.value.json()["remembered"]["denied"] == [
        "ad_personalization",
        "ad_storage",
        "ad_user_data",
        "analytics_storage",
    ]
    until(lambda: cookies(visitor) == {})
    until(lambda: kept(page) == [])
    # who says yes again is somebody new, whom the denial does not hold
    page.evaluate("answer('granted'); cg('track', 'Lead', {}, {event_id: 'lead-71004'})")
    gateway.item("meta", "lead-71004")
    assert cookies(visitor)["cg_visitor"]["value"] != before


def test_somebody_who_comes_back_is_known(gateway: Gateway, visitor: Any, order: Any) -> None:
    page = visitor.new_page()
    page.goto(order("71005"))
    with answered(page):
        page.click("#yes")
    until(lambda: "cg_visitor" in cookies(visitor))
    first = cookies(visitor)
    with answered(page):
        page.goto(order("71006").partition("?")[0])
    assert not page.is_visible("#banner")
    event = gateway.event("Purchase", "71006")
    assert event["user_data"]["anonymous_id"] == first["cg_visitor"]["value"]
    assert event["user_data"]["fbc"] == first["_fbc"]["value"]
    assert event["user_data"]["gclid"] == "EAIaIQobChMI71005example"
    assert cookies(visitor)["_fbc"]["value"] == first["_fbc"]["value"]
    assert SHOP.endswith(EVENTS.partition(".")[2])


def test_the_page_is_fit_to_be_seen(visitor: Any, order: Any, tmp_path: Path) -> None:
    page = visitor.new_page()
    page.set_viewport_size({"width": 900, "height": 600})
    page.goto(order("71007"))
    page.screenshot(path=tmp_path / "shop.png")
    assert page.is_visible("#banner")
    page.click("#no")
    assert not page.is_visible("#banner")
