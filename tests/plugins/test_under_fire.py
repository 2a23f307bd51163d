"""Every bundled destination against a platform at its worst."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from gateway.delivery.sender import Answered
from gateway.demo.hostile import BEHAVIOURS, Behaviour, check, under_fire
from gateway.model.delivery import Kind, Verdict
from gateway.plugin import verdicts
from gateway.plugin.testing import load

PLUGINS = Path(__file__).parents[2] / "plugins"
WEBHOOK = {"url": "https://hooks.example/events", "secret": "made-up-secret-of-the-hook"}


def suite(name: str) -> type:
    [destination] = load(PLUGINS / f"{name}.py").register_destinations()
    config = WEBHOOK if name == "webhook" else importlib.import_module(f"gateway.demo.platforms.{name}").MOCK.config
    return under_fire(destination, config)


TestMetaUnderFire = suite("meta")
TestTiktokUnderFire = suite("tiktok")
TestGoogleUnderFire = suite("google")
TestPinterestUnderFire = suite("pinterest")
TestSnapchatUnderFire = suite("snapchat")
TestWebhookUnderFire = suite("webhook")


@pytest.mark.parametrize(
    "answered",
    [
        Answered(verdicts.delivered(), 0.0, tried=True),
        Answered(Verdict(Kind.RETRY, "protocol"), 0.0, tried=True, silent=True),
        Answered(Verdict(Kind.RETRY, "timeout"), 0.0, tried=True, silent=True, unseen=True),
    ],
    ids=["taken for delivered", "not marked as unseen", "with another code"],
)
def test_the_suite_fails_for_a_wrong_reading(answered: Answered) -> None:
    with pytest.raises(AssertionError):
        check(BEHAVIOURS["reset before the answer"], answered)


def test_waiting_too_short_is_found() -> None:
    limited: Behaviour = BEHAVIOURS["429, seconds"]
    check(limited, Answered(verdicts.retry("http_429", after_s=8), 0.0, status=429, tried=True))
    with pytest.raises(AssertionError):
        check(limited, Answered(verdicts.retry("http_429", after_s=1), 0.0, status=429, tried=True))
