"""Meta's Business SDK for Python as published, with another address: through a real gateway to the mock platforms."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.app_data import AppData
from facebook_business.adobjects.serverside.content import Content
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.adobjects.serverside.event_request_async import EventRequestAsync
from facebook_business.adobjects.serverside.extended_device_info import ExtendedDeviceInfo
from facebook_business.adobjects.serverside.user_data import UserData
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from gateway.demo.configuration import HURRY, HURRY_LATER, LATER, destinations_toml
from gateway.demo.server import MockServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY, PIXEL = "made-up-write-key-000001", "1234567890"
SOURCE = f"""\
[server]
port = {{port}}
[sources.shop]
write_key = "{KEY}"
[sources.shop.conversions_api]
pixel_id = "{PIXEL}"
[consent.regions.US]
on_opt_out = "limited"
"""
GRANTED = {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted", "region": "DE"}


@dataclass
class Gateway:
    """One that runs, and the platforms behind it."""

    url: str
    mocks: MockServer

    def item(self, platform: str, event_id: str) -> dict[str, Any] | None:
        key = "transactionId" if platform == "google" else "event_id"
        return next((dict(one) for one in self.mocks.received[platform] if one[key] == event_id), None)


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder, port = tmp_path_factory.mktemp("gateway"), free_port()
    with MockServer() as mocks:
        more = {
            name: {**HURRY, "batch_linger": 0, **(HURRY_LATER if name in LATER else {})} for name in mocks.platforms
        }
        text = SOURCE.format(port=port) + destinations_toml(mocks, more)
        (folder / "gateway.toml").write_text(text)
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "gateway.toml")]
        with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log, cwd=Path.cwd()) as process:
            try:
                url = f"http://127.0.0.1:{port}"
                wait_for(url)
                yield Gateway(url, mocks)
            finally:
                process.terminate()
                process.wait(20)


def wait_for(url: str) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"{url}/readyz").raise_for_status()
        except httpx.HTTPError:
            assert time.monotonic() < end, "not in time"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def sdk(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FacebookAdsApi]:
    """The one line that a site changes, and the token."""
    monkeypatch.setattr(FacebookSession, "GRAPH", gateway.url)

    def init(token: str = KEY, secret: str | None = "made-up-app-secret") -> FacebookAdsApi:
        return FacebookAdsApi.init(app_id="1", app_secret=secret, access_token=token, crash_log=False)

    init()
    return init


def person() -> UserData:
    return UserData(
        email="Jane.Doe@example.com",
        phone="+1 (212) 555-0142",
        first_name="Jane",
        last_name="Doe",
        city="New York",
        state="NY",
        zip_code="10001",
        country_code="US",
        external_id="Customer-77",
        client_ip_address="203.0.113.10",
        client_user_agent="Mozilla/5.0 (made up)",
        fbc="fb.1.1795000000000.IwAR2Example",
        fbp="fb.1.1795000000000.1098115397",
        subscription_id="sub-1",
    )


def event(name: str, event_id: str, consent: dict[str, Any] | None = None, **custom: Any) -> Event:
    own = {"loyalty": "gold", "consent": GRANTED if consent is None else consent}
    return Event(
        event_name=name,
        event_time=int(time.time()) - 60,
        event_id=event_id,
        event_source_url="https://shop.example/thank-you?gclid=EAIaIQobChMIexample",
        referrer_url="https://shop.example/checkout",
        action_source=ActionSource.WEBSITE,
        user_data=person(),
        custom_data=CustomData(custom_properties=own, **custom),
    )


def purchase(event_id: str, consent: dict[str, Any] | None = None) -> Event:
    contents = [Content(product_id="SKU-1", quantity=2, item_price=6.25, title="Shirt", brand="Acme")]
    money = {"value": 12.5, "currency": "EUR", "order_id": event_id, "contents": contents, "num_items": 2}
    return event("Purchase", event_id, consent, **money)


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def send(*events: Event, pixel: str = PIXEL) -> Any:
    return EventRequest(pixel_id=pixel, events=list(events), partner_agent="shop 1.2").execute()


def test_purchase_lead_and_page_view_reach_every_platform_once(
    gateway: Gateway, sdk: Any, deadline: Callable[..., None]
) -> None:
    events = [purchase("order-1"), event("Lead", "lead-1"), event("PageView", "view-1")]
    for _ in range(2):  # sent again: as received, and no duplicate
        answer = send(*events)
        assert answer.events_received == 3
        assert answer.fbtrace_id
    assert answer.messages == []

    for platform in ("meta", "tiktok", "google", "pinterest", "snapchat"):
        deadline(lambda platform=platform: gateway.item(platform, "order-1"))
    for platform in ("meta", "pinterest", "snapchat"):
        for event_id in ("lead-1", "view-1"):
            deadline(lambda platform=platform, event_id=event_id: gateway.item(platform, event_id))
    send(event("Lead", "lead-2"))  # behind a later one, nothing of the earlier is still on its way
    for platform in ("meta", "tiktok", "google", "pinterest", "snapchat"):
        deadline(lambda platform=platform: gateway.item(platform, "lead-2"))
    for platform, items in gateway.mocks.received.items():
        key = "transactionId" if platform == "google" else "event_id"
        found = [str(one[key]) for one in items]
        assert len(found) == len(set(found)), platform

    email, phone = digest("jane.doe@example.com"), digest("12125550142")
    google, tiktok = gateway.item("google", "order-1"), gateway.item("tiktok", "order-1")
    assert google is not None
    assert tiktok is not None
    assert {"emailAddress": email} in google["userData"]["userIdentifiers"]
    assert google["adIdentifiers"]["gclid"] == "EAIaIQobChMIexample"
    assert (google["conversionValue"], google["currency"]) == (12.5, "EUR")
    assert (tiktok["user"]["email"], tiktok["user"]["phone"]) == ([email], [phone])
    assert tiktok["properties"]["value"] == 12.5
    for platform in ("pinterest", "snapchat"):
        item = gateway.item(platform, "order-1")
        assert item is not None
        assert item["user_data"]["em"] == [email]
        assert float(item["custom_data"]["value"]) == 12.5


def test_meta_gets_what_the_sdk_would_have_sent(gateway: Gateway, sdk: Any, deadline: Callable[..., None]) -> None:
    """But for what docs/doors/conversions-api.md lists as different."""
    sent = purchase("order-2")
    send(sent)
    deadline(lambda: gateway.item("meta", "order-2"))
    expected = json.loads(json.dumps(sent.normalize()))
    del expected["custom_data"]["consent"]  # heard, not handed on
    expected["user_data"]["external_id"] = [digest("Customer-77")]  # hashed, which Meta recommends
    expected["custom_data"]["currency"] = "EUR"
    expected["custom_data"]["content_type"] = "product"  # what Meta wants beside ids
    assert gateway.item("meta", "order-2") == expected


def test_limited_data_use_survives_the_way(gateway: Gateway, sdk: Any, deadline: Callable[..., None]) -> None:
    sent = purchase("order-3", {})
    sent.data_processing_options = ["LDU"]
    sent.data_processing_options_country, sent.data_processing_options_state = 1, 1000
    send(sent)
    deadline(lambda: gateway.item("meta", "order-3"))
    item = gateway.item("meta", "order-3")
    assert item is not None
    flags = [item[f"data_processing_options{part}"] for part in ("", "_country", "_state")]
    assert flags == [["LDU"], 1, 1000]
    assert "fbp" not in item["user_data"]


def test_an_event_of_an_app_survives_the_way(gateway: Gateway, sdk: Any, deadline: Callable[..., None]) -> None:
    device = ExtendedDeviceInfo(
        ext_info_version="i2",
        app_package_name="com.example.shop",
        short_version="5.2.1",
        long_version="5210",
        os_version="18.1",
        device_model_name="iPhone16,2",
        locale="en_US",
        timezone_abbreviation="EST",
        carrier="Example Mobile",
        screen_width="1290",
        screen_height="2796",
        screen_density="3",
        cpu_core_count="6",
        total_disk_space_gb="256",
        free_disk_space_gb="120",
        device_time_zone="America/New_York",
    )
    app = AppData(application_tracking_enabled=True, advertiser_tracking_enabled=True, extinfo=device)
    sent = Event(
        event_name="fb_mobile_purchase",
        event_time=int(time.time()) - 60,
        event_id="app-1",
        action_source=ActionSource.APP,
        user_data=UserData(email="jane.doe@example.com", madid="38400000-8cf0-11bd-b23e-10b96e40000d", anon_id="i-1"),
        custom_data=CustomData(custom_properties={"_valueToSum": 5, "fb_currency": "EUR", "consent": GRANTED}),
        app_data=app,
    )
    send(sent)
    deadline(lambda: gateway.item("meta", "app-1"))
    item, expected = gateway.item("meta", "app-1"), sent.normalize()
    assert item is not None
    del expected["custom_data"]["consent"]
    expected["app_data"] |= {"application_tracking_enabled": 1, "advertiser_tracking_enabled": 1}
    assert item == expected


def test_the_asynchronous_request(gateway: Gateway, sdk: Any, deadline: Callable[..., None]) -> None:
    request = EventRequestAsync(pixel_id=PIXEL, events=[event("Lead", "lead-3"), event("Lead", "lead-3")])
    answer = asyncio.run(request.execute())
    assert (answer.events_received, answer.messages[0][:8]) == (2, "data[0]:")
    deadline(lambda: gateway.item("meta", "lead-3"))


def test_what_is_refused_is_raised_as_the_sdk_does(gateway: Gateway, sdk: Any) -> None:
    bad = event("Lead", "lead-4", currency="XXQ")
    for call, status, code in (
        (lambda: send(event("Lead", "lead-4"), pixel="666"), 400, 100),
        (lambda: send(bad), 400, 100),
        (lambda: sdk("nobody-has-this") and send(event("Lead", "lead-4")), 401, 190),
    ):
        with pytest.raises(FacebookRequestError) as caught:
            call()
        assert (caught.value.http_status(), caught.value.api_error_code()) == (status, code)
        assert caught.value.api_error_message()
    sdk()
    answer = send(bad, event("Lead", "lead-5"))
    assert (answer.events_received, answer.messages[0][:17]) == (1, "data[0]: refused:")
