"""The suite: a destination held against all that a platform may do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import mock

from gateway.demo.hostile.authority import DAY, Authority
from gateway.demo.hostile.behaviours import BEHAVIOURS, PATIENCE_S, Behaviour, at_once, silent, speaks_first
from gateway.demo.hostile.platform import HostilePlatform
from gateway.model.delivery import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from pathlib import Path

    from gateway.delivery.sender import Answered
    from gateway.plugin import Destination

#: The deadline for one attempt in the suite, in seconds: what never ends is waited for so long.
TIMEOUT_S = 0.5


def under_fire(destination: Destination, config: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> type:
    """A test class that sends three events to each `Behaviour`, and holds the verdict against it.

    `config`: the plugin's keys, as in gateway.toml, secrets made up. `event`: a canonical event that the destination
    takes, an ordinary purchase where it is left out.
    """
    import pytest

    class UnderFire:
        @pytest.mark.parametrize("name", BEHAVIOURS)
        def test_is_judged_right(self, name: str, tmp_path: Path) -> None:
            behaviour = BEHAVIOURS[name]
            with HostilePlatform(behaviour.act) as platform:
                answered = _sent(destination, config, event or PURCHASE, platform.base_url, tmp_path)
            if behaviour.act is at_once and "token_url" in config:  # what was reset had only asked for a token
                behaviour = replace(behaviour, unseen=False)
            check(behaviour, answered)
            assert not any("/stolen" in one for one in platform.requests), "a redirect was followed"

        def test_a_platform_that_is_not_there_has_nothing(self, tmp_path: Path) -> None:
            with HostilePlatform(at_once) as platform:
                gone = platform.base_url
            never_left(_sent(destination, config, event or PURCHASE, gone, tmp_path), "connect")

        def test_a_name_that_is_not_known_has_nothing(self, tmp_path: Path) -> None:
            with mock.patch("socket.getaddrinfo", side_effect=socket.gaierror(socket.EAI_NONAME, "no such name")):
                answered = _sent(destination, config, event or PURCHASE, "http://gone.invalid", tmp_path)
            never_left(answered, "connect")

        def test_plain_text_where_tls_is_due_has_nothing(self, tmp_path: Path) -> None:
            with HostilePlatform(speaks_first) as platform:
                secure = platform.base_url.replace("http:", "https:")
                never_left(_sent(destination, config, event or PURCHASE, secure, tmp_path), "tls")

        def test_a_handshake_that_never_ends_has_nothing(self, tmp_path: Path) -> None:
            with HostilePlatform(silent) as platform:
                secure = platform.base_url.replace("http:", "https:")
                answered = _sent(destination, config, event or PURCHASE, secure, tmp_path, HANDSHAKE_S)
            never_left(answered, "connect")

        @pytest.mark.parametrize("wrong", CERTIFICATES)
        def test_a_certificate_that_is_wrong_has_nothing(self, wrong: str, tmp_path: Path) -> None:
            answered, asked = _sent_over_tls(destination, config, event or PURCHASE, tmp_path, wrong)
            never_left(answered, "tls")
            assert asked == []

        def test_a_certificate_that_is_right_is_taken(self, tmp_path: Path) -> None:
            answered, asked = _sent_over_tls(destination, config, event or PURCHASE, tmp_path, "")
            assert answered.status == 500
            assert asked

    UnderFire.__name__ = f"Test{destination.name.title()}UnderFire"
    return UnderFire


#: The deadline where a handshake hangs, in seconds: the time to connect is a little shorter, and is to end it.
HANDSHAKE_S = 1.5
#: What may be wrong with a certificate: whom it is for, when it ends, whether its authority is trusted.
CERTIFICATES: Mapping[str, tuple[str, timedelta, bool]] = {
    "of an unknown authority": ("localhost", DAY, False),
    "of another host": ("shop.example", DAY, True),
    "that has ended": ("localhost", -DAY, True),
}


def never_left(answered: Answered, code: str) -> None:
    """Hold it against a request that cannot have been sent. Raises `AssertionError`."""
    verdicts = list(_each(answered))
    assert not answered.unseen
    assert [one.kind for one in verdicts] == [Kind.RETRY]
    assert {one.code for one in verdicts} == {code}, verdicts


#: An event that every bundled destination takes.
PURCHASE: Mapping[str, Any] = {
    "event_name": "Purchase",
    "event_source_url": "https://shop.example/thank-you",
    "user_data": {
        "email": "jane.doe@example.com",
        "phone": "+12125550142",
        "client_ip_address": "203.0.113.10",
        "client_user_agent": "Mozilla/5.0",
    },
    "custom_data": {"value": 59.98, "currency": "USD", "order_id": "10042"},
    "consent": {"region": "US"},
}


def check(behaviour: Behaviour, answered: Answered) -> None:
    """Hold what was made of a behaviour against it. Raises `AssertionError`."""
    verdicts = list(_each(answered))
    assert {one.kind for one in verdicts} <= behaviour.kinds, verdicts
    assert answered.tried
    assert answered.unseen == bool(behaviour.unseen), f"unseen is {answered.unseen}"
    if behaviour.unseen is not None:
        assert answered.silent
    if behaviour.code:
        assert {one.code for one in verdicts} == {behaviour.code}
    if behaviour.code == "timeout":
        assert "our timeout" in verdicts[0].message
    if behaviour.after_s is not None:
        least, most = behaviour.after_s
        assert all(least <= (one.after_s or 0.0) <= most for one in verdicts), verdicts


def _each(answered: Answered) -> Iterator[Any]:
    given = answered.verdict
    yield from [given] if not isinstance(given, list | tuple) else given


def _sent(
    destination: Destination,
    config: Mapping[str, Any],
    event: Mapping[str, Any],
    base_url: str,
    folder: Path,
    timeout_s: float = TIMEOUT_S,
) -> Answered:
    """Three events on their way to the platform as the lanes send them, without an outbox."""
    from gateway.config import load
    from gateway.delivery.claims import Claim, Claimer, read_decision
    from gateway.delivery.clock import SystemClock
    from gateway.delivery.dispatcher import transport_for
    from gateway.delivery.sender import Sender
    from gateway.ingest.pipeline import Door
    from gateway.outbox.lanes import Stored

    file = folder / "gateway.toml"
    keys = {"plugin": destination.name, "base_url": base_url, "allow_private": True, "timeout": timeout_s}
    keys |= {"token_url": f"{base_url}/token"} if "token_url" in config else {}
    table = "\n".join(f"{key} = {_toml(value)}" for key, value in {**config, **keys}.items())
    file.write_text(f'[sources.shop]\nwrite_key = "made-up-write-key-000001"\n[destinations.one]\n{table}\n', "utf-8")
    settings = load(file, {}, lambda _: {destination.name: destination})
    door, instance, claims = Door(settings, None), settings.enabled["one"], []
    claimer, clock = Claimer(instance, door.gate), SystemClock()
    for number in range(3):
        raw = {**event, "event_id": f"order-{number}"}
        raw["custom_data"] = {**event.get("custom_data", {}), "order_id": f"{number}"}
        taken = door.take(raw, settings.sources["shop"], clock.now())
        assert taken.record is not None, taken.errors
        stored = Stored(number + 1, 1, taken.record.payload, taken.record.clear)
        claim = claimer.claim(stored, read_decision(taken.record.decision), clock.now())
        assert isinstance(claim, Claim), f"the destination does not take the event: {claim}"
        claims.append(claim)

    async def run() -> Answered:
        sender = Sender(instance, clock, transport_for(instance))
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await sender.send(claims[: instance.batch_size])
        finally:
            await sender.close()
            await asyncio.sleep(0.01)  # for the sockets to be closed

    return asyncio.run(run())


def _sent_over_tls(
    destination: Destination, config: Mapping[str, Any], event: Mapping[str, Any], folder: Path, wrong: str
) -> tuple[Answered, list[str]]:
    """The same to a platform that answers 500 over TLS, with something `wrong` with its certificate, or nothing.

    Returns also the first lines of the requests that it was sent.
    """
    authority = Authority(folder)
    host, ends_in, trusted = CERTIFICATES[wrong] if wrong else ("localhost", DAY, True)
    with contextlib.ExitStack() as stack:
        platform = stack.enter_context(HostilePlatform(BEHAVIOURS["500"].act, authority.server(host, ends_in=ends_in)))
        if trusted:
            stack.enter_context(authority.trusted())
        return _sent(destination, config, event, platform.base_url, folder, PATIENCE_S / 2), platform.requests


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}" = {_toml(one)}' for key, one in value.items()) + "}"
    return json.dumps(value)
