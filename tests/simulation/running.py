"""Run seeds: from tests, and by hand to see one again.

python -m tests.simulation.running 4711        # its trace, and what it found
python -m tests.simulation.running 0 500       # a digest of each seed from 0 to 499
"""

from __future__ import annotations

import hashlib
import logging
import random
import sys

import anyio
import pytest
import structlog

from gateway.delivery import followup, hand, lane, reading
from gateway.ingest import enrich
from gateway.outbox import keys, retention
from tests.simulation.inline import LoopClock, Stopwatch, take_time
from tests.simulation.platforms import Violation
from tests.simulation.world import Simulation

#: How much is done at a time, and the little that it may be: the worlds are small, and should meet every edge.
SIZES = (
    (reading, "CHUNK", 3), (reading, "CHUNK_MIN", 1), (reading, "BEHIND_S", 0.0), (reading, "FAR", 0),
    (hand, "KEPT", 2), (lane, "SLICE", 2), (lane, "GATHERED", 2), (lane, "HELD", 2), (followup, "AT_ONCE", 1),
    (retention, "STEP", 3), (retention, "SPAN", 4), (keys, "BUCKETS", 16),
)  # fmt: skip


def simulate(seed: int) -> Simulation:
    """Run one seed's world; returns it, or raises its `Violation` with the way to see it again."""

    async def main() -> Simulation:
        clock = LoopClock()
        take_time(patch, Stopwatch(seed, clock))
        world = Simulation(seed, clock)
        try:
            await world.run()
        except Exception as error:
            last = "\n".join(world.trace[-40:])
            what = world.violation or error
            raise Violation(f"{what}\nseed {seed}: pytest tests/simulation --seed {seed}\n{last}") from error
        finally:
            world.close()
        return world

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane, "POLL_S", 600.0)  # nothing is to be polled for but what another process posts
        patch.setattr(followup, "LOOK_S", 100.0)
        sizes = random.Random(seed)
        for module, name, few in SIZES:
            patch.setattr(module, name, sizes.choice((few, getattr(module, name))))
        ids = random.Random(seed)
        patch.setattr(enrich.uuid, "uuid4", lambda: type("Id", (), {"hex": f"{ids.getrandbits(128):032x}"}))
        return anyio.run(main)


def quiet() -> None:
    """Say nothing of what the gateway logs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def digest(seed: int) -> str:
    """All that a seed's world did, in a word."""
    try:
        world = simulate(seed)
        told = [*world.trace, str(sorted(world.counts.items()))]
    except Violation as violation:
        told = str(violation).splitlines()
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


if __name__ == "__main__":
    quiet()
    first, *end = map(int, sys.argv[1:])
    if end:
        for one in range(first, end[0]):
            print(one, digest(one))
    else:
        print("\n".join(simulate(first).trace))
