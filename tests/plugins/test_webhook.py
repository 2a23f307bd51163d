"""The webhook: the contract, and what golden cases cannot say."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import config
from gateway.delivery.auth import Signer, encode
from gateway.delivery.clock import SystemClock
from gateway.delivery.dispatcher import transport_for
from gateway.model.errors import ConfigError
from gateway.model.event import MATCH_KEYS, STANDARD_NAMES
from gateway.plugin import Batch, Event
from gateway.plugin.testing import destination_contract, load, public_config

HERE = Path(__file__).parent
webhook = load(HERE.parents[1] / "plugins" / "webhook.py")
WEBHOOK = webhook.WEBHOOK

TestWebhook = destination_contract(WEBHOOK, golden=HERE / "golden" / "webhook")

URL = "https://hooks.example.com/conversions"
SECRET = "made-up-signing-secret"
DEFAULTS = public_config(WEBHOOK, {"url": URL, "secret": SECRET})


def instance(folder: Path, *lines: str) -> config.Instance:
    """The webhook as an operator configures it."""
    file = folder / "gateway.toml"
    table = ["[destinations.webhook]", f'url = "{URL}"', f'secret = "{SECRET}"', *lines]
    file.write_text("\n".join(table), "utf-8")
    return config.load(file, {}, lambda folder: {"webhook": WEBHOOK}).destinations["webhook"]


def test_it_takes_every_standard_event_and_custom_ones_under_their_own_names(tmp_path: Path) -> None:
    found = instance(tmp_path)
    for name in {*STANDARD_NAMES, "QuizDone"}:
        assert found.platform_name(name) == name


def test_an_operator_can_name_the_only_events_it_gets(tmp_path: Path) -> None:
    found = instance(tmp_path, 'events = ["Purchase"]')
    assert found.platform_name("Purchase") == "Purchase"
    assert found.platform_name("Lead") is None


def test_every_match_key_is_sent_as_a_digest_and_none_in_the_clear() -> None:
    assert set(WEBHOOK.digests) == set(MATCH_KEYS)
    assert not WEBHOOK.clear


def test_batches_can_be_smaller_but_not_larger(tmp_path: Path) -> None:
    assert instance(tmp_path, "batch_size = 10").batch_size == 10
    with pytest.raises(ConfigError, match="at most 100"):
        instance(tmp_path, "batch_size = 101")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (['include = ["digest"]'], "include"),
        (['include = ["digests", "digests"]'], "include"),
    ],
)
def test_a_part_that_does_not_exist_or_stands_twice_is_an_error(tmp_path: Path, lines: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        instance(tmp_path, *lines)


def test_the_body_that_goes_out_is_the_one_that_was_signed(tmp_path: Path) -> None:
    found = instance(tmp_path)

    async def signed() -> Any:
        transport = transport_for(found)
        try:
            request = WEBHOOK.build_request(Batch.of([{"event_id": "ü-1"}]), found.config)
            return await Signer(found, SystemClock(), transport).sign(encode(request))
        finally:
            await transport.close()

    prepared = anyio.run(signed)
    at, signature = (part.partition("=")[2] for part in prepared.headers["X-Gateway-Signature"].split(","))
    assert prepared.body is not None
    expected = hmac.new(SECRET.encode(), at.encode() + b"." + prepared.body, hashlib.sha256).hexdigest()
    assert signature == expected
    assert json.loads(prepared.body) == {"version": 1, "events": [{"event_id": "ü-1"}]}
    assert SECRET not in str(prepared)


def test_the_probe_carries_no_event_and_says_that_it_is_a_test() -> None:
    request = WEBHOOK.probe(DEFAULTS, 1_795_000_000)
    assert request.json == {"version": 1, "test": True, "events": []}
    assert request.url == URL


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), st.lists(st.sampled_from(webhook.PARTS)))
def test_custom_data_arrives_as_the_site_wrote_it(custom: dict[str, Any], include: list[str]) -> None:
    event = Event(event_name="X", platform_name="X", event_id="1", event_time=1.5, custom_data=custom)
    item = WEBHOOK.map_event(event, {"url": URL, "include": include})
    sent = json.loads(json.dumps(item))
    assert sent.get("custom_data", {}) == (custom if "custom_data" in include else {})
    assert set(sent) - set(webhook.PARTS) == {"event_name", "event_id", "event_time", "action_source"}
