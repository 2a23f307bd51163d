"""What one destination sees of an event."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from gateway.model.event import CLICK_IDS, Consent, Event
from gateway.privacy.minimize import Lens, without_browser_ids, without_click_ids
from tests.gateway.privacy.signals import writing

#: Match key → rule, as a platform declares it.
RULES = {
    "email": "email_plain", "phone": "phone_plus", "first_name": "name_letters", "state": "state_code",
    "country": "country_lower", "external_id": "id_trimmed",
}  # fmt: skip
CLEAR = {"city": "city_compact", "state": "state_code", "country": "country_upper"}
#: A digest that only another destination needs.
OTHERS = {"email:email_gmail": ("0" * 64,)}
LENS = Lens.of(RULES, CLEAR)


def digest(letter: str) -> tuple[str, ...]:
    return (letter * 64,)


def event(**keys: Any) -> Event:
    return Event(
        event_name="Purchase",
        event_id="o-1",
        event_time=1_795_000_000,
        **{
            "event_source_url": "https://shop.example/a?fbclid=x&step=2",
            "referrer_url": "https://shop.example/?gclid=x",
            "digests": {f"{key}:{rule}": digest(key[0]) for key, rule in RULES.items()} | OTHERS,
            "clear": {f"{key}:{rule}": key for key, rule in CLEAR.items()} | {"zip:zip_google": "10001"},
            "user_data": {
                "client_ip_address": "203.0.113.9", "client_user_agent": "Firefox", "gclid": "g", "madid": "m",
                "anonymous_id": "a", "subscription_id": "s",
            },
            "custom_data": {"value": 1, "user_properties": {"tier": "gold"}, "contents": [{"id": "1", "title": "Mug"}]},
            "app": {"id": "com.example", "os": "ios", "att_status": "denied", "install_id": "i", "campaign_ids": "c"},
            "messaging": {"channel": "whatsapp", "page_scoped_user_id": "p"},
            "consent": Consent(ad_storage="granted", gpc=True, analytics_storage="denied", region="US-CA", tcf="t"),
            **keys,
        },
    )  # fmt: skip


def test_digests_and_places_are_named_by_match_key() -> None:
    view = LENS.view(event(), "Checkout", region="US-CA")
    assert view.digests == {key: digest(key[0]) for key in RULES}
    assert view.clear == {key: key for key in CLEAR}
    assert (view.platform_name, view.region, view.limited) == ("Checkout", "US-CA", False)


def test_flags_that_a_string_denies_are_seen_as_denied() -> None:
    """What Google is told of personalisation, for one, must not be more than the visitor said."""
    string = writing.tc_string({1, 7}, at=1_795_000_000)
    granted = Consent(ad_storage="granted", ad_user_data="granted", ad_personalization="granted", tcf=string)
    seen = LENS.view(event(consent=granted, received_at=1_795_000_000.0), "x").consent
    assert seen == replace(granted, ad_personalization="denied")


def test_other_destinations_digests_are_not_seen() -> None:
    view = Lens.of({"email": "email_plain"}, {}).view(event(), "x")
    assert view.digests == {"email": digest("e")}
    assert view.clear == {}


def test_without_limits_the_rest_is_as_it_was() -> None:
    view, given = LENS.view(event(), "x"), event()
    for name in ("user_data", "custom_data", "app", "messaging", "consent", "event_source_url", "referrer_url"):
        assert getattr(view, name) == getattr(given, name)


class TestLimited:
    def test_only_contact_and_whereabouts_are_left_of_the_identity(self) -> None:
        view = LENS.view(event(), "x", limited=True, region="US-CA")
        assert set(view.digests) == {"email", "phone", "state", "country"}
        assert set(view.clear) == {"state", "country"}
        assert view.user_data == {}
        assert view.limited

    def test_no_click_id_is_left_anywhere(self) -> None:
        view = LENS.view(event(), "x", limited=True, region="US")
        assert (view.event_source_url, view.referrer_url) == ("https://shop.example/a?step=2", "https://shop.example/")
        assert view.app == {"id": "com.example", "os": "ios", "att_status": "denied"}
        assert view.messaging == {"channel": "whatsapp"}

    def test_commerce_stays_and_what_is_said_of_the_person_goes(self) -> None:
        view = LENS.view(event(), "x", limited=True)
        assert view.custom_data == {"value": 1, "contents": [{"id": "1", "title": "Mug"}]}

    def test_consent_says_what_limited_means(self) -> None:
        consent = LENS.view(event(), "x", limited=True).consent
        assert consent == Consent(
            ad_storage="denied", ad_user_data="granted", ad_personalization="denied", analytics_storage="denied",
            gpc=True, region="US-CA",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("needs", "region", "kept"),
        [
            (True, "US", True),
            (True, "US-CA", False),
            (True, None, False),
            (False, "US", False),
            (False, "US-CA", False),
        ],
    )
    def test_the_address_stays_only_to_find_the_state(self, needs: bool, region: str | None, kept: bool) -> None:
        view = Lens.of(RULES, CLEAR, limited_needs_ip=needs).view(event(), "x", limited=True, region=region)
        assert view.user_data == ({"client_ip_address": "203.0.113.9"} if kept else {})


class TestWithheld:
    def see(self, *paths: str) -> Event:
        return Lens.of(RULES, CLEAR, deny=frozenset(paths)).view(event(), "x")

    @pytest.mark.parametrize("key", ["email", "state", "country"])
    def test_a_match_key_in_both_forms(self, key: str) -> None:
        view = self.see(f"user_data.{key}")
        assert key not in view.digests
        assert key not in view.clear
        assert len(view.digests) == len(RULES) - 1

    def test_all_of_user_data(self) -> None:
        view = self.see("user_data")
        assert (view.digests, view.clear, view.user_data) == ({}, {}, {})

    def test_one_identifier(self) -> None:
        assert set(self.see("user_data.gclid").user_data) == set(event().user_data) - {"gclid"}

    def test_a_key_of_every_item(self) -> None:
        assert self.see("custom_data.contents.title").custom_data["contents"] == [{"id": "1"}]

    def test_a_key_deep_down(self) -> None:
        assert self.see("custom_data.user_properties.tier").custom_data["user_properties"] == {}

    def test_a_text_and_an_object(self) -> None:
        view = self.see("event_source_url", "app", "messaging.page_scoped_user_id")
        assert (view.event_source_url, view.app, view.messaging) == (None, {}, {"channel": "whatsapp"})

    @pytest.mark.parametrize("path", ["context", "context.session_id", "custom_data.absent", "user_data.fbc"])
    def test_what_is_not_there_is_no_matter(self, path: str) -> None:
        assert self.see(path) == LENS.view(event(), "x")

    def test_holds_in_limited_mode_too(self) -> None:
        lens = Lens.of(RULES, CLEAR, deny=frozenset({"user_data.phone", "referrer_url"}))
        view = lens.view(event(), "x", limited=True)
        assert set(view.digests) == {"email", "state", "country"}
        assert view.referrer_url is None


@pytest.mark.parametrize(
    ("lens", "event_says", "seen"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_test_mode_is_the_events_or_the_destinations(lens: bool, event_says: bool, seen: bool) -> None:
    assert Lens.of({}, {}, test_mode=lens).view(event(test=event_says), "x").test is seen


def test_the_event_is_never_changed() -> None:
    given = event()
    before = copy.deepcopy(given)
    paths = frozenset({"user_data.gclid", "custom_data.contents.title", "app.id"})
    for limited in (False, True):
        Lens.of(RULES, CLEAR, deny=paths).view(given, "x", limited=limited)
    assert given == before


def test_browser_ids_are_all_click_ids_and_the_advertising_id() -> None:
    given = dict.fromkeys((*CLICK_IDS, "madid", "anonymous_id", "client_ip_address", "idfv"), "x")
    assert set(without_browser_ids(given)) == {"anonymous_id", "client_ip_address", "idfv"}


def test_click_ids_of_an_app_or_a_conversation_go() -> None:
    given = dict.fromkeys(("ctwa_clid", "install_referrer", "campaign_ids", "attribution", "os", "channel"), "x")
    assert set(without_click_ids(given)) == {"os", "channel"}
