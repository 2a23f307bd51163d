"""A refund learns from the outbox when its purchase happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.ingest.originals import with_original_times
from gateway.outbox import Outbox, Record
from gateway.outbox.packing import id_sum, key_hash

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

REFUND = {"event_name": "Refund", "custom_data": {"order_id": "1001", "remaining_value": 0}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def stored(path: Path, *, name: str = "Purchase", source: str = "web", event_id: str = "1001") -> Outbox:
    outbox = Outbox(path / "gateway.db")
    outbox.start()
    payload = b'{"event_name":"%s","event_id":"%s","event_time":1795000000}' % (name.encode(), event_id.encode())
    key = key_hash(source, name, event_id)
    await outbox.append(
        [Record(key, id_sum(event_id), 1795000001.0, source, name, event_id, '{"to":{}}', (), payload, None)]
    )
    return outbox


@pytest.mark.parametrize(
    "refund",
    [
        REFUND,
        {**REFUND, "custom_data": {"order_id": 1001}},
        {"event_name": "Refund", "original_event": {"event_id": "1001"}},
        {"event_name": "Refund", "original_event": {"event_id": "unknown", "order_id": "1001"}},
    ],
)
async def test_the_time_of_the_purchase_is_found(tmp_path: Path, refund: dict[str, object]) -> None:
    outbox = await stored(tmp_path)
    before = {**refund}
    [found] = await with_original_times([refund], {"web"}, outbox)
    assert found["original_event"]["event_time"] == 1795000000
    assert refund == before, "the posted event was changed"
    outbox.close()


async def test_what_the_sender_says_stands(tmp_path: Path) -> None:
    outbox = await stored(tmp_path)
    given = {**REFUND, "original_event": {"event_time": 1}}
    assert await with_original_times([given], {"web"}, outbox) == [given]
    outbox.close()


@pytest.mark.parametrize("kind", [{"name": "Lead"}, {"source": "other"}, {"event_id": "1002"}])
async def test_another_event_is_not_taken_for_it(tmp_path: Path, kind: dict[str, str]) -> None:
    outbox = await stored(tmp_path, **kind)
    assert await with_original_times([REFUND], {"web"}, outbox) == [REFUND]
    outbox.close()


@pytest.mark.parametrize("odd", [None, [], "Refund", {"event_name": ["Refund"]}, {**REFUND, "custom_data": 1}])
async def test_an_invalid_event_is_left_to_the_next_stage(tmp_path: Path, odd: object) -> None:
    outbox = await stored(tmp_path)
    assert await with_original_times([odd], {"web"}, outbox) == [odd]
    outbox.close()
