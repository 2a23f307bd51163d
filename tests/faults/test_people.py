"""People withdraw and are erased while the gateway is killed: what was answered holds from the next life on.

A request that is under way when the answer leaves may still arrive, but only from the process that began it. So what
arrives from a later life of somebody who had been answered is a broken promise.
"""

from __future__ import annotations

import hashlib
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.faults.conftest import Client
from tests.faults.test_kill import NAME, is_settled, is_whole, rows

if TYPE_CHECKING:
    import http.client
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: How many people a client posts events of at a time, and how many events they have.
AT_A_TIME, EVENTS = 12, 16
GRANTED = {"region": "DE", "ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted"}
#: Said, not left out: consent that was given before joins an event that says nothing.
REFUSED = {"region": "DE", "ad_user_data": "denied"}


@dataclass
class Person:
    """Somebody whose events are posted, and what they will ask for in the middle of it."""

    external_id: str
    asks: str
    posted: int = 0
    asked_at: float | None = None
    answered: bool = False


class Crowd(Client):
    """A site's backend that posts what people do, and passes on that they withdraw, or want to be erased."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(name, port)
        self._random = random.Random(name)
        self.people: list[Person] = []
        #: Who was answered since somebody looked last.
        self.answered_now: list[Person] = []
        self.stopped = self.erased = 0

    def _post(self, connection: http.client.HTTPConnection) -> None:
        pending = [one for one in self.people if one.asks and one.posted >= EVENTS // 2 and not one.answered]
        if pending:
            self._ask(connection, pending[0])
        else:
            super()._post(connection)

    def _ask(self, connection: http.client.HTTPConnection, person: Person) -> None:
        """Until it is answered it is asked again."""
        person.asked_at = person.asked_at or time.time()
        about: dict[str, Any] = {"user_data": {"external_id": person.external_id}}
        if person.asks == "withdrawal":
            found = self.call(connection, "POST", "/v1/consent", about | {"consent": {"ad_user_data": "denied"}})
        else:
            found = self.call(connection, "DELETE", "/v1/users", about)
        if found is None:
            return
        person.answered = True
        self.answered_now.append(person)
        self.stopped += found.get("stopped", 0)
        self.erased += found.get("events", 0)

    def refused(self, results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [one for one in super().refused(results) if one["errors"][0]["code"] != "person_erased"]

    def _event(self) -> dict[str, Any]:
        current = [one for one in self.people if one.posted < EVENTS]
        if len(current) < AT_A_TIME:
            current.append(
                Person(f"{self.name}-{len(self.people)}", self._random.choice(("", "withdrawal", "erasure")))
            )
            self.people.append(current[-1])
        person, may = self._random.choice(current), self._random.random() < 0.8
        person.posted += 1
        event = super()._event()
        event["event_id"] = f"{event['event_id']}.{person.external_id}.{'may' if may else 'held'}"
        # what an erased person did before is told late
        event["event_time"] = (person.asked_at if person.asks == "erasure" else None) or time.time()
        event["user_data"] = {"external_id": person.external_id, "gclid": click_of(person.external_id)}
        event["consent"] = GRANTED if may else REFUSED
        return event


def click_of(external_id: str) -> str:
    """What is remembered of somebody's visits."""
    return f"click-of-{external_id}-"


def whose(event_id: str) -> str:
    return event_id.split(".")[1]


def test_what_people_were_answered_holds_however_often_it_is_killed(
    servers, sink, load, port, tmp_path, deadline, size, figure
):
    chance, kills, path = random.Random(15), size(60, 600), tmp_path / NAME
    crowds = [Crowd(f"crowd{one}", port) for one in range(3)]
    silent_from: dict[str, int] = {}
    for _ in range(kills):
        if chance.random() < 0.5:  # things pile up behind a platform that does not answer
            sink.answering.clear()
        with servers.one(signal.SIGKILL), load(crowds):
            time.sleep(chance.uniform(0.02, 0.3))
        sink.answering.set()
        sink.wait_until_idle()
        for crowd in crowds:
            silent_from.update((one.external_id, len(sink.arrived)) for one in crowd.answered_now)
            crowd.answered_now.clear()
    with servers.one(signal.SIGTERM):
        deadline(lambda: is_settled(path), within_s=60)
    assert servers.exit_code == 0

    people = {one.external_id: one for crowd in crowds for one in crowd.people}
    arrived = [event_id for event_id, _ in sink.arrived]
    after = [one for at, one in enumerate(arrived) if at >= silent_from.get(whose(one), len(arrived))]
    without = [one for one in arrived if one.endswith("held")]
    acknowledged = set().union(*(one.acknowledged for one in crowds))
    due = {one for one in acknowledged if one.endswith(".may") and not people[whose(one)].asks}
    erased = {one for one in silent_from if people[one].asks == "erasure"}
    traces = traces_of(path, erased)
    answered = Counter(people[one].asks for one in silent_from)
    figure(
        f"kill -9 and people: {kills} kills, {len(acknowledged):,} events acknowledged, "
        f"{len(due - set(arrived))} lost; "
        f"{answered['withdrawal']} withdrawals stopped {sum(one.stopped for one in crowds):,} deliveries, "
        f"{answered['erasure']} erasures took {sum(one.erased for one in crowds):,} events; sent after the answer "
        f"{len(after)}, without consent {len(without)}, traces of the erased {len(traces)}"
    )
    assert [one.refusals for one in crowds] == [[], [], []]
    assert min(answered["withdrawal"], answered["erasure"]) > kills
    assert min(sum(one.stopped for one in crowds), sum(one.erased for one in crowds)) > kills
    assert after == []
    assert without == []
    assert due <= set(arrived)
    assert traces == []
    assert is_whole(path, "integrity_check")


def traces_of(path: Path, people: set[str]) -> list[str]:
    """Who of these people is found in the outbox's files: by an event's id, by the digest of their own, by their click.

    An event that nobody may have is stored without its person, so that no erasure can know it: its id may stay.
    """
    found = [
        whose(row[0])
        for row in rows(path, "SELECT event_id FROM event")
        if whose(row[0]) in people and row[0].endswith(".may")
    ]
    content = b"".join(file.read_bytes() for file in path.parent.glob(f"{NAME}*"))
    for one in people:
        digest = hashlib.sha256(one.encode())
        mine = (f".{one}.may", digest.hexdigest(), click_of(one))
        if digest.digest() in content or any(part.encode() in content for part in mine):
            found.append(one)
    return found
