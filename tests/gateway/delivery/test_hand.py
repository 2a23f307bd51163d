"""The hand never takes what it is done with, and its cursor never passes what is not settled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.hand import KEPT, Hand
from gateway.outbox.lanes import Due, Stored
from gateway.outbox.ranges import runs


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


def test_what_is_new_is_read_ahead_of_a_backlog_until_that_has_come_up() -> None:
    hand = Hand()
    hand.take_log(stored(1, 2))
    hand.head = 10
    assert [one.seq for one in hand.take_news(stored(11, 12))] == [11, 12]
    assert [one for one in range(13) if hand.is_ahead(one)] == list(range(3, 13))
    hand.settle([1, 2, 11, 12])
    assert hand.cursor == 2
    assert [one.seq for one in hand.take_log(stored(*range(3, 13)))] == list(range(3, 11))
    assert hand.head is None
    hand.settle(range(3, 11))
    assert hand.cursor == 12


def test_what_was_settled_ahead_is_stepped_over_and_not_read() -> None:
    hand = Hand(3, [(5, 1_000)])
    assert [one.seq for one in hand.take_log(stored(4))] == [4]
    hand.begin_reading()
    assert hand.scan == 1_000


def test_a_row_sent_ahead_of_the_log_is_not_read_from_it_once_it_is_gone() -> None:
    hand = Hand()
    hand.take_due([due(7)], 10)
    assert [one.seq for one in hand.take_log(stored(6, 7))] == [6]  # its row is gone, but nobody has said so yet
    hand = Hand()
    hand.take_due([due(7)], 10)
    hand.settle([7])
    assert [one.seq for one in hand.take_log(stored(6, 7))] == [6]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["read", "read_news"]), st.integers(1, 8)),
        st.tuples(st.just("jump"), st.integers(1, 60)),
        st.tuples(st.sampled_from(["settle", "let_go"]), st.integers(0, 1000)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=80,
)


@given(size=st.integers(1, 60), steps=STEPS, kept=st.sampled_from([0, 3, 4_000]))
def test_the_cursor_never_passes_a_number_that_is_not_settled_and_all_are_reached_once(size: int, steps, kept) -> None:
    """`settled` is what stands on disk; a restart knows nothing else, save the cursor."""
    hand, settled, in_hand = Hand(), set[int](), set[int]()

    def take(read: list[Stored]) -> None:
        seqs = {one.seq for one in read}
        assert not seqs & (in_hand | settled)
        in_hand.update(seqs)

    def read(count: int, *, news: bool = False) -> None:
        if news:
            take(hand.take_news(stored(*range((hand.head or size) + 1, size + 1)[:count])))
        else:
            hand.begin_reading()
            take(hand.take_log(stored(*range(hand.scan + 1, size + 1)[:count])))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.delivery.hand.KEPT", kept)
        for what, number in steps:
            chosen = sorted(in_hand)[number % len(in_hand)] if in_hand else None
            if what in ("read", "read_news"):
                read(number, news=what == "read_news")
            elif what == "jump":
                hand.head = number if hand.scan < number <= size and number > (hand.head or 0) else hand.head
            elif what == "restart":
                in_hand.clear()
                hand = Hand(hand.cursor, runs(sorted(seq for seq in settled if seq > hand.cursor)))
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
    assert hand.head is None


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


def test_what_was_settled_from_its_row_is_not_taken_again_when_reading_goes_back() -> None:
    """A row that was there before the log had been read as far: it is gone once it has been settled."""
    hand = Hand()
    hand.take_log(stored(*range(1, 21)), {10})
    hand.take_due([due(10)], 10)
    hand.settle([10])
    hand.let_go([5])
    assert 10 not in [one.seq for one in hand.take_log(stored(*range(5, 21)))]


def test_what_is_left_to_the_backlog_is_read_again_once_that_has_come_as_far() -> None:
    hand = Hand()
    hand.take_log(stored(1))
    hand.head = 100
    hand.take_news(stored(101, 102))
    hand.leave(101)
    hand.settle([102])
    assert hand.head == 102
    assert [one.seq for one in hand.take_log(stored(2, 101, 102))] == [2, 101]


def test_what_comes_in_while_one_claim_stays_takes_no_room() -> None:
    hand = Hand()
    hand.take_log(stored(1))
    hand.head = 1_000
    for first in range(1_001, 101_001, 500):
        hand.take_news(stored(*range(first, first + 500)))
        hand.settle(range(first, first + 500))
        assert hand.cursor == 0
    assert len(hand._order) < 2 * KEPT
