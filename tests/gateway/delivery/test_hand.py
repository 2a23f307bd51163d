"""The hand never takes what it is done with, and its cursor never passes what is not settled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def stored(*seqs: int) -> list[Stored]:
    return [Stored(seq, 1, b"", None) for seq in seqs]


def test_what_is_given_back_is_read_again_and_the_cursor_stays_before_it() -> None:
    hand = Hand()
    hand.take_log(stored(1, 2, 3))
    hand.let_go([2])
    hand.settle([1])
    assert hand.cursor == 1
    assert hand.scan == 1
    assert [one.seq for one in hand.take_log(stored(2, 3))] == [2]


def test_the_cursor_does_not_pass_what_was_given_back_before_others_in_hand() -> None:
    hand = Hand()
    hand.take_log(stored(1, 2, 3))
    hand.let_go([1])
    assert hand.cursor == 0


def test_a_row_counts_instead_of_the_log() -> None:
    hand = Hand()
    assert [one.seq for one in hand.take_log(stored(1, 2, 3), rows={2})] == [1, 3]
    hand.settle([1, 3])
    assert hand.cursor == 3


def test_a_row_of_what_is_in_hand_from_the_log_is_not_taken_before_it_is_settled() -> None:
    hand = Hand()
    hand.take_log(stored(1))
    assert hand.take_due([due(1)], 10) == []
    hand.settle([1])
    hand.begin_reading()
    assert [one.event.seq for one in hand.take_due([due(1)], 10)] == [1]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(1, 8)),
        st.tuples(st.just("settle"), st.integers(0, 1000)),
        st.tuples(st.just("let_go"), st.integers(0, 1000)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=80,
)


@given(size=st.integers(1, 60), steps=STEPS)
def test_the_cursor_never_passes_a_number_that_is_not_settled_and_all_are_reached(size: int, steps) -> None:
    """`settled` is what stands on disk; a restart knows nothing else, save the cursor."""
    hand, settled, in_hand = Hand(), set[int](), set[int]()

    def read(count: int) -> None:
        seqs = range(hand.scan + 1, size + 1)[:count]
        in_hand.update(one.seq for one in hand.take_log(stored(*seqs)))

    for what, number in steps:
        chosen = sorted(in_hand)[number % len(in_hand)] if in_hand else None
        if what == "read":
            read(number)
        elif what == "restart":
            in_hand.clear()
            hand = Hand(hand.cursor, {seq for seq in settled if seq > hand.cursor})
        elif chosen is not None:
            in_hand.discard(chosen)
            getattr(hand, what)([chosen])
            settled |= {chosen} if what == "settle" else set()
        assert set(range(1, hand.cursor + 1)) <= settled
        assert len(hand) == len(in_hand)
    while hand.scan < size or in_hand:
        read(8)
        hand.settle(in_hand)
        settled |= in_hand
        in_hand.clear()
    assert settled == set(range(1, size + 1))
    assert hand.cursor == size


class Counted(int):
    """A number that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        Counted.compared += 1
        return int(self) < int(other)

    def __gt__(self, other: int) -> bool:
        Counted.compared += 1
        return int(self) > int(other)

    def __hash__(self) -> int:
        return int(self)


@pytest.mark.parametrize("held", [0, 1], ids=["in order", "behind one that takes long"])
def test_a_batch_costs_the_same_however_many_are_in_hand(held: int) -> None:
    hand, many = Hand(), 20_000
    hand.take_log(stored(*(Counted(seq) for seq in range(1, many + 1))))
    Counted.compared = 0
    for seq in range(1 + held, many + 1):
        hand.settle([seq])
        assert hand.cursor == (0 if held else seq)
    assert Counted.compared < 30 * many
