"""What the consent gate costs an event that carries a TC string, a GPP string and Additional Consent.

Each event by itself: reading the consent object, and the answer for five destinations.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from bench import setup, stages
from bench.events import numbered
from gateway.ingest.draft import Draft
from gateway.ingest.pipeline import STAGES
from gateway.privacy.signals import heard

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS, ROUNDS = 5_000, 5
#: When the events come in: the strings are from the day before.
AT = 1_795_300_000.0
STRINGS: Mapping[str, str] = {
    "tcf": "CQuCLYAQuCLYAEsABBENAtEgALIAAAAAAAYgHtQAgF5gPaAAAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA",
    "additional_consent": "2~89.2572~dv.1031",
    "gpp": "DBABLA~CVQqAAAAAACA.QA",
}


def run() -> None:
    """Print the median and the 99th percentile, the best of a few rounds."""
    door, settings = stages.made(setup.PLATFORMS)
    gate, source = door.setup.gate, settings.sources["web"]
    flags = {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted", "region": "DE"}

    def measured(consent: Mapping[str, str], *, afresh: bool) -> tuple[float, float]:
        said = {"event_time": int(AT) - 60, "consent": dict(consent)}
        drafts = [Draft({**numbered(number), **said}, source, AT) for number in range(EVENTS)]
        for draft in drafts:
            for stage in STAGES:
                stage(draft, door.setup)
        best = (float("inf"), float("inf"))
        for _ in range(ROUNDS):
            times = []
            for draft in drafts:
                if afresh:
                    heard.forget()
                    gate.forget()
                start = time.perf_counter_ns()
                draft.seen = gate.consent_of(draft.raw["consent"], None, source, AT)
                gate.route(draft)
                times.append(time.perf_counter_ns() - start)
            cuts = statistics.quantiles(times, n=100)
            best = min(best, (cuts[98] / 1e3, cuts[49] / 1e3))
        return best

    for words, consent, afresh in (
        ("flags alone", flags, False),
        ("and three strings, read before", {**flags, **STRINGS}, False),
        ("and three strings, each time read anew", {**flags, **STRINGS}, True),
    ):
        p99, p50 = measured(consent, afresh=afresh)
        print(f"  {words}: {p50:.1f} µs, p99 {p99:.1f} µs")
