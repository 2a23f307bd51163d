"""Deliveries that still wait, stopped at once when their person takes consent back.

A lane would stop them by itself when it comes to them; a lane that is paused, or that waits for its next try, may come
to them late.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from gateway.ingest.record import read
from gateway.model.delivery import OPEN_STATES, Action, State
from gateway.outbox import lanes, queries, standing
from gateway.outbox.lanes import Change
from gateway.outbox.people import denials_of
from gateway.privacy.sealing import Unopened
from gateway.privacy.withdrawal import decide_with

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ingest.gate import Gate
    from gateway.outbox.engine import Connection
    from gateway.outbox.sqlite import Outbox


#: Events that one transaction looks at: taking events in waits no longer than that takes.
STEP = 500


async def stop_all(outbox: Outbox, gate: Gate, seqs: Sequence[int], now: float) -> Counter[tuple[str, str]]:
    """`stop_open` for any number of events. What it has not come to yet, each lane asks about before it sends."""
    stopped = Counter[tuple[str, str]]()
    for at in range(0, len(seqs), STEP):
        stopped += await outbox.write(partial(stop_open, gate=gate, seqs=seqs[at : at + STEP], now=now))
    return stopped


def stop_open(db: Connection, gate: Gate, seqs: Sequence[int], now: float) -> Counter[tuple[str, str]]:
    """Cancel what may not go any more of these events. Returns instance and reason → how many deliveries were."""
    events = [row for seq in seqs if (row := queries.event(db, seq)) is not None]
    places, ids = standing.standings(db, events), standing.lane_rows(db)
    denials, stopped = denials_of(db, seqs), Counter[tuple[str, str]]()
    for seq, denial in denials.items():
        waiting = [name for name, at in places.get(seq, {}).items() if at.state in OPEN_STATES]
        if not waiting:
            continue
        payload, clear = queries.payload(db, seq)
        if payload is None:
            continue
        try:
            event = read(payload, clear, gate.keyring)
        except (msgspec.DecodeError, Unopened):
            continue
        for name in waiting:
            at, requirement = places[seq][name], gate.requirements.get(name)
            if requirement is None:
                continue
            asked = (event.consent, event.region, requirement, gate.policy, event.received_at)
            decision = decide_with(denial, name, *asked)
            if decision.action is Action.SKIP:
                past = (at.tries, at.first_at)
                change = Change(
                    seq, State.CANCELLED, *past, code=decision.reason, message=decision.rule, policy=gate.fingerprint
                )
                lanes.record(db, ids[name].id, cursor=None, tried=None, settled=(), changes=[change], now=now)
                stopped[name, decision.reason] += 1
    return stopped
