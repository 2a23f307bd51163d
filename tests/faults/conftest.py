"""What the fault tests share: how long they go on, and the figures that they leave behind.

`pytest` runs the short forms; `pytest --long tests/faults` runs what RELIABILITY.md reports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from _pytest.terminal import TerminalReporter

#: The name under which a test's report carries a figure.
FIGURE = "figure"


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`size(short, long)`: how much of something this run does."""
    return lambda short, long: long if request.config.getoption("--long") else short


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Leave a line for the end of the run: what was counted, as RELIABILITY.md has it."""
    return lambda line: record_property(FIGURE, line)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the figures, those of failed tests too."""
    reports = [one for found in terminalreporter.stats.values() for one in found if hasattr(one, "user_properties")]
    lines = [value for one in reports for name, value in one.user_properties if name == FIGURE]
    if lines:
        terminalreporter.section("figures")
        for line in dict.fromkeys(lines):
            terminalreporter.write_line(line)
