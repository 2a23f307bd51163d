"""A thousand made-up people in a hundred thousand events can be read nowhere, and are gone once they are erased.

`pytest --long tests/flows/test_traces.py` runs it in full; without, a smaller one.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import ahocorasick
import anyio
import pytest
import structlog

from gateway import log
from gateway.ingest.decode import read_body
from gateway.outbox import backup
from gateway.outbox.erasure import erase
from gateway.privacy.identity import person as named
from gateway.web.service import Effective, Service
from tests.flows.test_planted_identities import GRANTED, elsewhere, identity, people, urls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.flows.test_planted_identities import Person

#: Events in one body, and bodies between two deliveries.
BODY, BODIES = 500, 4
#: Characters looked through at once, and so many of the next ones: more than anything that is looked for has.
PIECE, OVERLAP = 2**24, 2**12
#: Digests, and what else is long and hexadecimal: any eight digits are in one some day.
_HEX = re.compile(r"[0-9a-f]{32,}")
NAMES = ("Purchase", "Lead", "AddToCart", "PageView")


class Search:
    """All that may stand nowhere, looked for in one go."""

    def __init__(self, planted: Iterable[Person]) -> None:
        self._folded, self._exact = ahocorasick.Automaton(), ahocorasick.Automaton()
        for person in planted:
            for needle in person.needles:
                self._folded.add_word(needle, needle)
            for needle in person.encoded:
                self._exact.add_word(needle, needle)
        self._folded.make_automaton()
        self._exact.make_automaton()

    def __call__(self, text: str) -> list[str]:
        found = [needle for _, needle in self._exact.iter(text)]
        for one in {text.lower(), unquote(unquote(text)).lower()} if "%" in text else {text.lower()}:
            without = _HEX.sub("#", one)
            for end, needle in self._folded.iter(without):
                before, behind = without[end - len(needle) : end - len(needle) + 1], without[end + 1 : end + 2]
                inside = needle.isdigit() and len(needle) == 8 and (before + behind).strip("\"',:;[]{} ") != ""
                if not inside:  # else a part of a longer number: a time, a size
                    found.append(needle)
        return found


def planted_events(planted: list[Person], count: int) -> Iterator[dict[str, Any]]:
    """Events of everybody in turn, each time in other spellings and with the person in other places."""
    for number in range(count):
        who, way = number % len(planted), number // len(planted)
        person = planted[who]
        consent = [{**GRANTED, "region": "DE"}, {"region": "US"}, {"region": "DE"}, {"region": "US-CA", "gpc": True}]
        event: dict[str, Any] = {
            "event_name": NAMES[(who + way) % 4],
            "event_id": f"{who}-{way}",
            "user_data": {**identity(person, way), "anonymous_id": f"visitor-{who}"},
            "custom_data": {"value": 10, "currency": "EUR", "order_id": f"o-{who}-{way}"},
            "consent": consent[(who + way) % 4],
        }
        if way % 3 == 1:
            event |= {"event_source_url": urls(person, way), "referrer_url": urls(person, way // 2)}
        elif way % 3 == 2:
            event |= elsewhere(person, who + way)
        yield event


class Run:
    """The world after everything was posted and delivered; nothing found is kept in `found`, by where it stood."""

    def __init__(self, world: Any, count: int, crowd: int) -> None:
        self.world, self.planted = world, people(crowd)
        self.search, self.found = Search(self.planted), Counter[str]()
        self.statuses: Counter[str] = Counter()
        self.lines = io.StringIO()
        self.sent = 0
        log.configure(stream=self.lines, console=False, level=logging.DEBUG)
        self.service = Service(Effective.of(world.settings, world.outbox), world.outbox)
        events = list(planted_events(self.planted, count))
        for at in range(0, count, BODY * BODIES):
            for begin in range(at, min(at + BODY * BODIES, count), BODY):
                self._post(events[begin : begin + BODY])
            self._deliver()
        self._post(events[:BODY])  # duplicates, and what was refused
        self.look("log", self.lines.getvalue())
        self.look("metrics", self.service.metrics.text().decode())

    def _post(self, events: list[dict[str, Any]]) -> None:
        effective, source = self.service.effective, self.world.settings.sources["shop"]

        async def accept() -> dict[str, Any]:
            body = read_body(json.dumps(events).encode(), "application/json", "", max_bytes=10**8, max_events=BODY)
            return await self.service.accept(effective, body, source, "events", {"type": "http", "headers": []})

        answer = anyio.run(accept)
        self.statuses.update(one["status"] for one in answer["results"])
        self.look("answers", json.dumps(answer, ensure_ascii=False))

    def _deliver(self) -> None:
        self.world.deliver(within_s=300.0)
        for _, request in self.world.requests:
            self.sent += 1
            self.look("requests", f"{request.method} {request.url} {dict(request.headers)} {request.content.decode()}")
        self.world.requests.clear()
        for items in self.world.arrived.values():
            items.clear()

    def look(self, where: str, text: str) -> None:
        for at in range(0, max(len(text), 1), PIECE):  # a database is too long for one
            self.found[where] += len(self.search(text[at : at + PIECE + OVERLAP]))

    def files(self) -> list[Path]:
        path = self.world.outbox.path
        return sorted(one for one in path.parent.iterdir() if one.name.startswith(path.name))


@pytest.fixture(scope="module")
def run(world: Callable[..., Any], pytestconfig: pytest.Config) -> Iterator[Run]:
    remembered = 'region = "US"\nremember_visits = true\n'
    made = world(source=remembered, more='[consent.regions."US-CA"]\non_opt_out = "limited"\n')
    yield Run(made, *((100_000, 1_000) if pytestconfig.getoption("--long") else (600, 50)))
    structlog.reset_defaults()


def test_nobody_can_be_read_anywhere(run: Run, tmp_path: Path, figure: Callable[[str], None]) -> None:
    files = run.files()
    assert {"gateway.db", "gateway.db-wal"} <= {one.name for one in files}
    backup.copy(run.world.outbox.path, tmp_path / "backup.db", 1.0)
    for file in (*files, tmp_path / "backup.db"):
        run.look(file.name, file.read_bytes().decode("latin-1"))
    assert {where: count for where, count in run.found.items() if count} == {}
    assert run.statuses["accepted"] > 0.8 * (run.statuses.total() - BODY)
    assert run.statuses["duplicate"] > 0
    assert run.sent > 20
    looked = ", ".join(sorted(run.found))
    figure(f"traces: {run.statuses.total():,} events of {len(run.planted):,} people, nothing found in {looked}")


def test_the_search_would_find_them(run: Run) -> None:
    first = run.planted[7]
    for needle in (*first.needles, *first.encoded):
        assert run.search(f'x "{needle}" y'), needle
    assert not run.search("1795762741.845546")


def test_of_the_erased_not_even_digests_are_left(run: Run, figure: Callable[[str], None]) -> None:
    """Each tenth person is erased, by everything that names them; free pages are looked at as well."""
    whom = range(0, len(run.planted), 10)
    before = digests_by_person(run)
    alone = Counter(digest for mine in before.values() for digest in mine)
    gone = {digest for number in whom for digest in before.get(number, ()) if alone[digest] == 1}
    kept = {digest for number in before.keys() - set(whom) for digest in before[number] if alone[digest] == 1}
    assert len(gone) > 3 * len(whom)
    events = sum(forget(run, number) for number in whom)
    content = b"".join(one.read_bytes() for one in run.files()).decode("latin-1")
    search = ahocorasick.Automaton()
    for digest in gone | kept:
        search.add_word(digest, digest)
    search.make_automaton()
    there = {digest for _, digest in search.iter(content)}
    assert there & gone == set()
    assert there == kept
    assert not any(f'visitor-{number}"' in content for number in whom)
    assert digests_by_person(run).keys().isdisjoint(whom)
    figure(f"erasure: {len(whom):,} people and {events:,} events erased, none of {len(gone):,} digests left")


def digests_by_person(run: Run) -> dict[int, set[str]]:
    """The number in the event's id → the digests that stand in the payload."""
    found: dict[int, set[str]] = {}
    with run.world.outbox.reading() as db:
        for event_id, payload in db.execute("SELECT event_id, payload FROM event"):
            digests = re.findall(r'"([0-9a-f]{64})"', payload.decode())
            if digests and re.fullmatch(r"\d+-\d+", event_id):
                found.setdefault(int(event_id.partition("-")[0]), set()).update(digests)
    return found


def forget(run: Run, number: int) -> int:
    """Erase a person by one spelling of each identifier; returns how many events went."""
    person = run.planted[number]
    ways = 1 + run.statuses.total() // len(run.planted)
    who = {
        "email": person.email.upper(),
        "phone": f"+1 ({person.area}) {person.line[:3]}-{person.line[3:]}",
        "external_id": [f"{person.email}/{way}" for way in range(ways)],
        "anonymous_id": f"visitor-{number}",
    }
    found = named(run.world.outbox.key, who)
    erased = anyio.run(lambda: erase(run.world.outbox, found.pseudonyms, 1.9e9))
    assert erased.overwritten
    return erased.events
