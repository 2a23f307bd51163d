"""Ten times what can be taken, for a few seconds: only 202 and 429, bounded memory, and what was accepted is stored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
MEASURE = "import json; from bench import overload; print(json.dumps(overload.measure(1, {}, 1.0)))"


def test_the_excess_is_refused_and_nothing_accepted_is_lost(
    size: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    command = [sys.executable, "-c", MEASURE.format(size(4, 60))]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert set(found["statuses"]) == {"202", "429"}
    assert all(int(seconds) > 0 for seconds in found["retry_after"])
    assert found["lost"] == found["unanswered"] == 0
    assert found["peak"] < 2 * found["normal"]
    figure(
        f"overload, {found['seconds']:.0f} s: answers {found['statuses']}, "
        f"{found['accepted_events']:,} events accepted, "
        f"{found['stored']:,} stored, memory {found['peak'] / found['normal']:.2f} times, "
        f"accepted ones p99 {found['accepted_ms']['p99']} ms"
    )
