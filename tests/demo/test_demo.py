"""The demo runs the whole gateway against the mocks, and tells the truth about what came of it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway import config, log, registry
from gateway.demo import run
from gateway.demo.mock import MockPlatform, MockReply
from gateway.demo.platforms import meta
from gateway.demo.run import main
from gateway.demo.server import PLATFORMS, MockServer
from gateway.demo.show import PLAIN_WIDTH, brief, for_people
from gateway.model.errors import ConfigError
from gateway.outbox import queries

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "schemas" / "examples").glob("*.json")}
NAMES = [platform.name for platform in PLATFORMS]
ID_KEYS = {"google": "transactionId"}

Report = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "kept"


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(json=True, keep=folder) == 0
    found: Report = json.loads(printed.getvalue())
    return found


def _ids(report: Report, platform: str) -> Counter[str]:
    items = report["platforms"][platform]["received"] + report["platforms"][platform]["tested"]
    return Counter(item[ID_KEYS.get(platform, "event_id")] for item in items)


def _event(report: Report, example: str) -> Report:
    found: Report = next(event for event in report["events"] if event["example"] == example)
    return found


def _printed(report: Report, keep: Path | None = None) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for_people(report, keep)
    return printed.getvalue()


def test_all_goes_well_and_in_time(report: Report, folder: Path) -> None:
    assert report["ok"] is True
    assert report["problems"] == []
    assert report["seconds"] < 15
    assert report["folder"] == str(folder)


def test_every_example_is_sent_and_decided_for_every_platform(report: Report) -> None:
    assert sorted(event["example"] for event in report["events"]) == sorted(EXAMPLES)
    assert all(list(event["destinations"]) == NAMES for event in report["events"])


@pytest.mark.parametrize("platform", NAMES)
def test_a_platform_has_just_what_counts_as_delivered_to_it(report: Report, platform: str) -> None:
    delivered = [event for event in report["events"] if event["destinations"][platform]["state"] == "delivered"]
    assert sum(_ids(report, platform).values()) == len(delivered) > 10
    assert all(set(event["ids"]) & _ids(report, platform).keys() for event in delivered)


@pytest.mark.parametrize("platform", NAMES)
def test_a_purchase_arrives_hashed_and_nothing_arrives_raw(report: Report, platform: str) -> None:
    text = json.dumps(report["platforms"][platform], ensure_ascii=False)
    assert hashlib.sha256(b"jane.doe@example.com").hexdigest() in text
    assert "@example.com" not in text.lower()
    assert "2125550142" not in re.sub(r"[ ()-]", "", text)


@pytest.mark.parametrize("example", ["eea_visitor_without_consent", "california_gpc"])
def test_who_refused_is_sent_to_nobody(report: Report, example: str) -> None:
    event, raw = _event(report, example), EXAMPLES[example]
    assert {one["code"] for one in event["destinations"].values()} == {"consent"}
    assert all(
        one["detail"] and one["reason"].startswith(raw["consent"]["region"]) for one in event["destinations"].values()
    )
    platforms = json.dumps(report["platforms"])
    assert raw["event_id"] not in platforms
    assert hashlib.sha256(raw["user_data"]["email"].encode()).hexdigest() not in platforms


def test_a_duplicate_is_sent_to_nobody_again(report: Report) -> None:
    assert (report["duplicate"]["http_status"], report["duplicate"]["status"]) == (202, "duplicate")
    for platform in ("meta", "tiktok", "pinterest", "snapchat"):
        assert _ids(report, platform)["order-10042"] == 1


def test_refunds_restate_their_purchase_after_it(report: Report) -> None:
    order = [item for item in report["platforms"]["google"]["received"] if item["transactionId"] == "10042"]
    assert [item["conversionValue"] for item in order] == [74.48, 44.49, 0]
    assert len({item["eventTimestamp"] for item in order}) == 1


def test_an_event_with_mistakes_is_refused_with_pointers(report: Report) -> None:
    refused = report["refused"]
    assert (refused["http_status"], refused["status"]) == (422, "rejected")
    assert [one["path"] for one in refused["errors"]] == ["/user_data/e_mail", "/custom_data/value"]


def test_an_outage_delays_events_and_neither_loses_nor_doubles_them(report: Report) -> None:
    attempts = report["platforms"][report["outage"]]["attempts"]
    assert (attempts[0]["status"], attempts[0]["verdict"]) == (503, "retry")
    assert attempts[0]["events"] > 0
    assert set(_ids(report, report["outage"]).values()) == {1}


def test_test_events_count_nowhere(report: Report) -> None:
    event = _event(report, "test_event")
    assert event["destinations"]["meta"]["state"] == "dry_run"
    assert all(event["destinations"][name]["test"] for name in NAMES if name != "meta")
    assert not any("test-0001" in json.dumps(report["platforms"][name]["received"]) for name in NAMES)


def test_the_kept_folder_can_be_asked_later(report: Report, folder: Path) -> None:
    settings = config.load(folder / "gateway.toml", {}, lambda plugins: registry.load(plugins).destinations)
    with queries.reading(settings.outbox.path) as db:
        assert [row.event_name for row in queries.find(db, "order-10042")] == ["Purchase"]
    lines = (folder / "gateway.log").read_text("utf-8")
    assert '"event":"dispatching"' in lines
    assert "example.com" not in lines


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        main(keep=tmp_path)
    with pytest.raises(ConfigError, match="cannot be made a folder"):
        main(keep=tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_log_file_is_used_only_meanwhile(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    log.get_logger("demo").warning("lane_paused", instance="meta")
    assert "lane_paused" in "".join(capsys.readouterr())


def test_people_get_plain_text_of_a_hundred_columns(report: Report, folder: Path) -> None:
    text = _printed(report)
    assert max(map(len, text.splitlines())) == PLAIN_WIDTH
    assert "\x1b" not in text
    for example in EXAMPLES:
        assert f" {example} " in text
    for words in ("✓ SIGN_UP", "Global", "/user_data/e_mail", "503", "Every platform received", "gateway init"):
        assert words in text
    assert _printed(report, folder).splitlines()[-1] == f"cd {folder}; gateway explain order-10042"


def test_a_narrow_terminal_cuts_nothing_that_matters(report: Report) -> None:
    printed = io.StringIO()
    for_people(report, None, Console(file=printed, width=80, highlight=False))
    text = printed.getvalue()
    matrix = text.split("What each platform received")[1].split("One purchase")[0]
    held = text.split("Held back, and why")[1].split("What else happened")[0]
    assert max(map(len, text.splitlines())) <= 80
    assert all(name in matrix for name in NAMES)
    assert "…" not in matrix + held
    for words in ("ad_storage, ad_user_data, ad_personalization denied", "meta, tiktok, google, pinterest, snapchat"):
        assert words in held


def test_the_output_in_the_docs_is_what_it_prints(report: Report) -> None:
    shown = (ROOT / "docs" / "demo-output.txt").read_text("utf-8")
    assert _comparable(_printed(report)) == _comparable(shown)


def _comparable(text: str) -> list[str]:
    """Without what differs from run to run: times, and how events fell into requests."""
    return [re.sub(r"\d+", "#", line.rstrip()) for line in text.splitlines() if " requests, " not in line]


def test_a_platform_that_refuses_is_a_failed_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"error": {"message": "Invalid parameter", "code": 100, "is_transient": False}}
    broken = MockPlatform("meta", lambda request, now: MockReply(400, error), meta.MOCK.config)
    others = [platform for platform in PLATFORMS if platform.name != "meta"]
    monkeypatch.setattr(run, "MockServer", functools.partial(MockServer, [broken, *others]))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main() == 1
    text = printed.getvalue()
    assert "✗ dead" in text
    assert "✗ purchase_full_cart is dead for meta: 100 Invalid parameter" in text
    assert "Every platform received what it should" not in text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a" * 64, "aaaaaaaa…"),
        ("x" * 40, "x" * 31 + "…"),
        ({"a": [1, 2, 3], "b": True, "c": None}, "{a: [1, 2, …], b: true, c: null}"),
    ],
)
def test_long_values_are_cut_short(value: object, words: str) -> None:
    assert brief(value) == words
