"""Outboxes in a temporary folder, closed at the end, and records to put in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from gateway.outbox import Appended, Outbox, Record
from gateway.outbox.ledger import ruling
from gateway.outbox.packing import id_sum, key_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


class Opener:
    """Opens outboxes on one file, each as a process of its own would."""

    def __init__(self, path: Path, time: Time) -> None:
        self.path, self.time = path, time
        self._opened: list[Outbox] = []

    def __call__(self, *, window_s: float = 1000.0, **options: Any) -> Outbox:
        outbox = Outbox(self.path, dedup_window_s=window_s, clock=self.time, **options)
        outbox.start()
        self._opened.append(outbox)
        return outbox

    def close(self) -> None:
        for outbox in self._opened:
            outbox.close()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def opened(tmp_path: Path, time: Time) -> Iterator[Opener]:
    opener = Opener(tmp_path / "gateway.db", time)
    yield opener
    opener.close()


def decision(**outcomes: str) -> str:
    """A decision: instance → `send`, or the reason of a skip, `consent:CODE` with the gate's own code."""
    to = {
        name: ["send", "consent_granted", "", "a rule"]
        if one == "send"
        else ["skipped", *(one.split(":") if ":" in one else (one, "")), "a rule"]
        for name, one in outcomes.items()
    }
    return json.dumps({"policy": "p", "to": to})


@pytest.fixture
def record(time: Time) -> Callable[..., Record]:
    """An event's record; `outcomes` as in `decision`, by default `acme="send"`."""

    def make(
        event_id: str,
        *,
        scope: str = "source:web",
        clear: bytes | None = b"{}",
        people: tuple[int, ...] = (),
        at: float | None = None,
        strings: bytes = b"",
        **outcomes: str,
    ) -> Record:
        outcomes = outcomes or {"acme": "send"}
        return Record(
            dedup_key=key_hash(scope, "Lead", event_id),
            id_sum=id_sum(event_id),
            received_at=time.now,
            source="web",
            event_name="Lead",
            event_id=event_id,
            event_time=time.now if at is None else at,
            people=people,
            decision=decision(**outcomes),
            consented=tuple(name for name, one in outcomes.items() if one == "send"),
            payload=json.dumps({"event_id": event_id, "outcomes": outcomes}).encode(),
            clear=clear,
            ruling=ruling("web", "{}", decision(**outcomes)),
            strings=strings,
        )

    return make


@pytest.fixture
def put() -> Callable[..., list[tuple[int, bool]]]:
    """Append records in one go: number and whether it is a duplicate, for each."""

    def append(outbox: Outbox, *records: Record) -> list[tuple[int, bool]]:
        async def run() -> list[Appended]:
            return await outbox.append(records)

        return [(one.seq, one.duplicate) for one in anyio.run(run)]

    return append
