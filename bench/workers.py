"""Several processes on one outbox: accepting with one and with two, and with the delivering in a process of its own.

In turns, on all cores, the load's own work among it: with two cores what is won is less than what was added.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench import setup
from bench.ingest import LOADS, drive
from bench.machine import free_port, python, server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3

#: What is compared: name → workers, flags of `serve`, whether `dispatch` runs beside it.
SHAPES: dict[str, tuple[int, tuple[str, ...], bool]] = {
    "one worker, nobody delivers": (1, ("--no-dispatch",), False),
    "two workers, nobody delivers": (2, ("--no-dispatch",), False),
    "one worker that delivers too": (1, (), False),
    "one worker, delivering apart": (1, ("--no-dispatch",), True),
    "two workers that deliver too": (2, (), False),
}


def run() -> None:
    """Print rates, and each as a share of the first."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        for batch, connections in LOADS.items():
            rates: dict[str, list[float]] = {shape: [] for shape in SHAPES}
            for round_ in range(ROUNDS):
                for shape in SHAPES:
                    folder = Path(name) / f"{batch}-{round_}-{len(rates[shape])}-{list(SHAPES).index(shape)}"
                    folder.mkdir()
                    with _running(folder, *SHAPES[shape]) as (pid, port):
                        drive(pid, port, batch, connections)  # what follows finds it at work
                        rates[shape].append(drive(pid, port, batch, connections).rate)
            alone = rates[next(iter(SHAPES))]
            print("  single events:" if batch == 1 else f"  batches of {batch}:")
            for shape, found in rates.items():
                ratio = statistics.median(one / first for one, first in zip(found, alone, strict=True))
                print(f"    {shape}: {statistics.median(found):,.0f} events/s, {ratio:.2f} of the first")


@contextlib.contextmanager
def _running(folder: Path, workers: int, flags: tuple[str, ...], apart: bool) -> Iterator[tuple[int, int]]:
    port, sink_port = free_port(), free_port()
    config = setup.write(folder, port=port, sink_port=sink_port, workers=workers)
    with contextlib.ExitStack() as stack:
        stack.enter_context(server(python("bench.sink", sink_port), sink_port, on=None, cwd=folder))
        command = python("gateway", "serve", "--config", config, *flags)
        served = stack.enter_context(server(command, port, on=None, cwd=folder))
        if apart:  # it has no port of its own: that the server answers is enough
            dispatch = python("gateway", "dispatch", "--config", config)
            stack.enter_context(server(dispatch, port, on=None, cwd=folder))
        yield served.pid, port
