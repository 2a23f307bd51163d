"""`python -m bench [stages|ingest|naive|dispatch|both …]`"""

from __future__ import annotations

import os
import platform
import sys

from bench import (
    abuse,
    backlog,
    consent,
    disk,
    dispatch,
    ingest,
    isolation,
    naive,
    overload,
    slow,
    stages,
    visits,
    workers,
)

BENCHES = {
    "stages": ("An event through the door, by stage", stages.run),
    "ingest": ("Accepting", ingest.run),
    "naive": ("Against an endpoint that does it all by itself", naive.run),
    "dispatch": ("Delivering to a local sink", dispatch.run),
    "disk": ("Bytes on disk", disk.run),
    "backlog": ("Over a backlog", backlog.run),
    "both": ("Accepting while delivering", lambda: ingest.run(dispatching=True)),
    "workers": ("Several processes on one outbox", workers.run),
    "isolation": ("One dead destination among five", isolation.run),
    "consent": ("The consent gate", consent.run),
    "visits": ("Remembering visits", visits.run),
    "slow": ("Beside slow clients", slow.run),
    "abuse": ("Bodies made to cost", abuse.run),
    "overload": ("Ten times what can be taken", overload.run),
}


def main() -> None:
    """Run the named benchmarks, or all."""
    wanted = sys.argv[1:] or list(BENCHES)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    for name in wanted:
        title, run = BENCHES[name]
        print(f"{title} ({name}):")
        run()


if __name__ == "__main__":
    main()
