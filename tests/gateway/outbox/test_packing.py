"""Numbers as bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.packing import id_sum, key_hash, pack, pack_seqs, positions, unpack, unpack_seqs

SEQS = st.sets(st.integers(1, 2**31), min_size=1, max_size=50).map(sorted)
#: Few distinct bytes, so that a number is often found across the border of two others.
OVERLAPPING = st.lists(st.integers(-3, 3).map(lambda n: n * 0x0101010101010101), max_size=30)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_packed_numbers_come_back(numbers):
    assert list(unpack("q", pack("q", numbers))) == numbers


def test_packed_numbers_are_little_endian_everywhere():
    assert pack("I", [1, 2**32 - 1]) == b"\x01\x00\x00\x00\xff\xff\xff\xff"
    assert pack("q", [-2]) == b"\xfe" + b"\xff" * 7


@given(SEQS)
def test_sequence_numbers_come_back(seqs):
    assert list(unpack_seqs(seqs[0], len(seqs), pack_seqs(seqs))) == seqs


@given(st.integers(1, 2**60), st.integers(1, 1000))
def test_numbers_without_a_gap_take_no_bytes(first, count):
    assert pack_seqs(range(first, first + count)) is None


@given(OVERLAPPING, st.integers(-3, 3).map(lambda n: n * 0x0101010101010101))
def test_a_number_is_found_where_it_stands_and_nowhere_between(numbers, wanted):
    found = list(positions(pack("q", numbers), wanted, "q"))
    assert found == [at for at, number in enumerate(numbers) if number == wanted]


def test_the_parts_of_a_key_do_not_run_into_each_other():
    assert key_hash("ab", "c") != key_hash("a", "bc")
    assert -(2**63) <= key_hash("source:web", "Lead", "1") < 2**63


def test_the_sums_are_those_that_stand_on_disk():
    """They are stored: another way to make them would lose what was written before."""
    assert id_sum("order_1") == 4256851099
    assert key_hash("source:web", "Lead", "1") == -256222040777382347
