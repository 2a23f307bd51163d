"""Sets of whole numbers that mostly follow on one another, kept as ranges: a million of them take little room."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from heapq import merge
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The first and the last of numbers without a gap.
Range = tuple[int, int]


def runs(numbers: Iterable[int]) -> Iterator[Range]:
    """Ascending numbers as ranges."""
    first = last = None
    for number in numbers:
        if first is None or last is None:
            first = number
        elif number > last + 1:
            yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last


class Ranges:
    """A set of whole numbers."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        """`ranges`: in any order; they may overlap."""
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self.add(ranges)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __len__(self) -> int:
        """How many numbers, not ranges."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def __iter__(self) -> Iterator[Range]:
        """Its ranges, ascending; between two of them there is a gap."""
        return zip(self._firsts, self._lasts, strict=True)

    def add(self, ranges: Iterable[Range]) -> None:
        """Take these in as well; in any order."""
        new = sorted(ranges)
        if not new:
            return
        firsts: list[int] = []
        lasts: list[int] = []
        for first, last in merge(self, new):
            if lasts and first <= lasts[-1] + 1:
                lasts[-1] = max(lasts[-1], last)
            else:
                firsts.append(first)
                lasts.append(last)
        self._firsts, self._lasts = firsts, lasts

    def drop(self, up_to: int) -> None:
        """Forget the numbers up to this one."""
        gone = bisect_right(self._lasts, up_to)
        del self._firsts[:gone], self._lasts[:gone]
        if self._firsts and self._firsts[0] <= up_to:
            self._firsts[0] = up_to + 1

    def over(self, number: int) -> int:
        """Where a reader who is at `number` may go on, because it knows all that follows on it; else `number`."""
        at = bisect_left(self._lasts, number + 1)
        return self._lasts[at] if at < len(self._lasts) and self._firsts[at] <= number + 1 else number
