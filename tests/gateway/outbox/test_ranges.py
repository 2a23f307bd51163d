"""Ranges are a set of numbers, whatever is put in and in whatever order."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.ranges import Ranges, runs

NUMBERS = st.integers(1, 60)
GROUPS = st.lists(st.lists(NUMBERS, max_size=12), max_size=8)


@given(st.sets(NUMBERS))
def test_runs_are_the_same_numbers_with_a_gap_between_any_two(numbers: set[int]) -> None:
    found = list(runs(sorted(numbers)))
    assert {one for first, last in found for one in range(first, last + 1)} == numbers
    assert all(after[0] > before[1] + 1 for before, after in itertools.pairwise(found))


@given(GROUPS, NUMBERS)
def test_ranges_hold_what_was_added_and_not_what_was_dropped(groups: list[list[int]], up_to: int) -> None:
    ranges, numbers = Ranges(), set[int]()
    for at, group in enumerate(groups):
        ranges.add((one, one + 1) for one in group)
        numbers.update(group, (one + 1 for one in group))
        if at == 3:
            ranges.drop(up_to)
            numbers = {one for one in numbers if one > up_to}
    assert list(ranges) == list(runs(sorted(numbers)))
    assert len(ranges) == len(numbers)
    assert {one for one in range(65) if one in ranges} == numbers


@given(st.sets(NUMBERS), NUMBERS)
def test_a_reader_steps_over_what_is_known_and_over_nothing_else(numbers: set[int], at: int) -> None:
    on = Ranges(runs(sorted(numbers))).over(at)
    assert set(range(at + 1, on + 1)) <= numbers
    assert on + 1 not in numbers


def test_a_million_numbers_in_a_row_are_one_range() -> None:
    ranges = Ranges((first, first + 99) for first in range(1, 1_000_001, 100))
    assert list(ranges) == [(1, 1_000_000)]
