"""`simulate(seed)`: see `running.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog

from tests.simulation import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.world import Simulation


@pytest.fixture
def simulate() -> Iterator[Callable[[int], Simulation]]:
    """Run one seed's world; returns it, or raises its `Violation` with the way to see it again."""
    running.quiet()
    yield running.simulate
    structlog.reset_defaults()
