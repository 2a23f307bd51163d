"""The hand never takes what it is done with, and its cursor never passes what is not settled."""

from __future__ import annotations

import pytest

from gateway.delivery.hand import Hand
from gateway.outbox.lanes import Due, Stored


def due(seq: int) -> Due:
    return Due(Stored(seq, 1, b"", None), tries=1, first_at=0.0, frozen_s=0.0, unseen=False)


@pytest.mark.parametrize("leave", ["settle", "let_go"])
def test_what_left_the_hand_during_a_read_is_not_taken_from_it(leave: str) -> None:
    hand = Hand()
    [one] = hand.take_due([due(7)], 10)
    hand.begin_reading()
    read = [due(7), due(8)]  # a moment before it left
    getattr(hand, leave)([one.event.seq])
    assert [taken.event.seq for taken in hand.take_due(read, 10)] == [8]
    hand.begin_reading()
    assert [taken.event.seq for taken in hand.take_due([due(7)], 10)] == [7]
