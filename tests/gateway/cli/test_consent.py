"""`gateway consent report`: what the gate has done, counted from the ledger alone."""

from __future__ import annotations

import re
import time

import anyio
import pytest

from gateway.insight import report_page
from gateway.model.delivery import State
from gateway.outbox import Outbox, lanes, people
from gateway.outbox.erasure import erase
from gateway.outbox.lanes import Change
from gateway.privacy.consent import REFUSALS
from gateway.privacy.identity import person
from gateway.privacy.withdrawal import Said
from tests.gateway.privacy.signals import writing

DENIED = {"ad_storage": "denied", "ad_user_data": "denied", "ad_personalization": "denied", "region": "DE"}


def line(report, region, destination="left"):
    (found,) = (one for one in report["lines"] if (one["region"], one["destination"]) == (region, destination))
    return found


@pytest.fixture
def filled(stage):
    stage.run(stage.event("a"), stage.event("b"), stage.event("c", consent=DENIED), stage.event("d", consent=DENIED))
    stage.run(stage.event("us", consent={"region": "US"}), stage.event("nowhere", consent={}))
    stage.run(*(stage.event(f"s{at}", consent={"tcf": "CPnotAString", "region": "FR"}) for at in range(3)))
    stage.run(stage.event("gpc", consent={"gpc": True, "region": "US-CA"}), stage.event("x", event_name="Search"))
    return stage


def test_it_counts_by_region_source_and_destination(filled, answer):
    found = answer("consent", "report")
    assert found["events"] == 11
    assert found["without_signal"] == 2
    assert (found["with_strings"], found["unreadable_strings"], found["withdrawn"]) == (3, 3, 0)
    german = line(found, "DE")
    assert german["source"] == "web"
    assert (german["sent"], german["limited"], german["held"]) == (2 + (german["other"] == 0), 0, 2)
    assert [one["code"] for one in german["rules"] if one["outcome"] == "held"] == ["consent_denied"]
    assert (line(found, "US")["sent"], line(found, "US-CA")["held"], line(found, "unknown")["held"]) == (1, 1, 1)
    assert line(found, "FR", "right")["held"] == 3
    for one in found["lines"]:
        assert one["sent"] + one["limited"] + one["held"] + one["other"] == sum(rule["count"] for rule in one["rules"])


def test_unreadable_strings_are_told_by_who_made_them(filled, answer):
    old = {"tcf": writing.tc_string(at=1_500_000_000.0), "region": "FR"}  # of CMP 300
    filled.run(*(filled.event(f"old{at}", consent=old) for at in range(4)))
    first, second = answer("consent", "report")["unreadable"]
    assert (first["cmp"], first["count"]) == ("300", 4)
    assert [*first["reasons"]] == ["`tcf` cannot be used: it is older than 13 months"]
    assert (second["cmp"], second["count"]) == ("unknown", 3)


def test_what_came_later_is_told_apart(filled, answer):
    filled.run(filled.event("c"))  # a copy that brings consent
    outbox = Outbox(filled.settings.outbox.path)
    outbox.start()
    with outbox.reading() as db:
        (lane,) = db.execute("SELECT id FROM lane WHERE instance = 'left'").fetchone()
    for seq in (1, 2, 5):
        change = Change(seq, State.CANCELLED, code="consent_withdrawn", message="why", policy="p")
        outbox.write_blocking(
            lambda db, change=change: lanes.record(
                db, lane, cursor=None, tried=None, settled=(), changes=[change], now=time.time()
            )
        )
    outbox.close()
    found = answer("consent", "report")
    assert (line(found, "DE")["stopped"], line(found, "US")["stopped"]) == (2, 1)
    assert (line(found, "DE", "right")["stopped"], line(found, "DE")["released"]) == (0, 1)
    assert found["events"] == 11


def test_it_needs_no_event(filled, answer):
    before = answer("consent", "report")
    for table in ("event", "decision", "intake"):
        filled.change(f"DELETE FROM {table}")
    after = answer("consent", "report")
    for moment in ("since", "until"):
        del before[moment], after[moment]
    assert after == before


def test_a_period(filled, answer, gateway):
    assert answer("consent", "report", "--since", "2h", "--until", "1h")["events"] == 0
    assert answer("consent", "report", "--since", "2020-01-01")["events"] == 11
    code, _, err = gateway("consent", "report", "--since", "1h", "--until", "2h")
    assert code == 2
    assert "before --until" in err


def test_policies_are_told(filled, answer):
    filled.configure("left", "right", more='[consent]\nunknown_region = "allow"\n')
    filled.run(filled.event("later", consent={}))
    first, second = answer("consent", "report")["policies"]
    assert (first["events"], second["events"]) == (11, 1)
    assert first["policy"] != second["policy"]


def test_a_terminal(filled, gateway):
    code, out, _ = gateway("consent", "report")
    assert code == 0
    for words in ("FR", "consent_string_unread", "without any signal", "2 (18.2 %)", "CMP"):
        assert words in out


def test_nothing_yet(stage, answer, gateway):
    stage.run()
    assert answer("consent", "report")["lines"] == []
    assert "the ledger is empty" in gateway("consent", "report")[1]
    assert gateway("consent", "report", "--html", "page.html")[0] == 0
    assert "The ledger is empty" in (stage.folder / "page.html").read_text("utf-8")


def test_a_page(filled, gateway):
    filled.run(filled.event("evil", consent={"region": "DE"}))
    file = filled.folder / "page.html"
    assert gateway("consent", "report", "--html", str(file))[:2] == (0, f"Wrote {file}.\n")
    page = file.read_text("utf-8")
    for words in ("Consent report", "25.0 %", "FR", "The visitor refused consent.", "The ledger begins on"):
        assert words in page
    for loaded in ("<script", "src=", "href=", "url(", "@import", "http"):
        assert loaded not in page
    assert "jane" not in page
    opened, closed = (re.findall(rf"<{end}(table|tr|td|th|p|dl|div|h1|h2)\b", page) for end in ("", "/"))
    assert sorted(opened) == sorted(closed)
    assert gateway("consent", "report", "--html", str(file), "--json")[0] == 2


def test_what_comes_from_outside_is_escaped(filled, gateway):
    outbox = Outbox(filled.settings.outbox.path)
    outbox.start()
    outbox.write_blocking(lambda db: db.execute("UPDATE ruling SET data = replace(data, 'FR', '<b>&')").rowcount)
    outbox.close()
    assert gateway("consent", "report", "--html", "page.html")[0] == 0
    page = (filled.folder / "page.html").read_text("utf-8")
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page


def test_every_refusal_has_words():
    assert report_page.WORDS.keys() >= REFUSALS


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [(0, 0, "0 %"), (1, 3, "33.3 %"), (1, 10**6, "< 0.1 %"), (10**6 - 1, 10**6, "> 99.9 %"), (3, 3, "100.0 %")],
)
def test_a_share_is_never_told_as_nothing_or_all(part, whole, words):
    assert report_page.share(part, whole) == words


def test_what_people_asked_for_is_counted(filled, answer, gateway, tmp_path):
    outbox = Outbox(filled.settings.outbox.path)
    outbox.start()
    try:
        now, whos = time.time(), person(outbox.key, {"external_id": "7"}).pseudonyms
        for heard in (Said(denied=frozenset({"ad_user_data"})), Said(granted=frozenset({"ad_user_data"}))):
            outbox.write_blocking(lambda db, heard=heard: people.remember(db, whos, heard, now))
        anyio.run(erase, outbox, whos, now)
    finally:
        outbox.close()
    found = answer("consent", "report")
    assert (found["withdrawals"], found["grants"], found["erasures"]) == (1, 1, 1)
    assert gateway("consent", "report", "--html", str(tmp_path / "report.html"))[0] == 0
    told = "Asked for by people outside of events: consent taken back 1, consent given again 1, erasure 1."
    assert told in (tmp_path / "report.html").read_text("utf-8")
