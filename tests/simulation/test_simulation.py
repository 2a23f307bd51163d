"""Thousands of worlds, each from one seed: no promise is broken, each can be seen again, broken code is found out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.delivery import claims, judge, reading
from gateway.delivery.access import Access
from gateway.delivery.batching import Batches
from gateway.delivery.breaker import Breaker
from gateway.delivery.hand import Hand
from gateway.delivery.lane import Lane
from gateway.delivery.serials import Serials
from gateway.model.delivery import Action, State
from gateway.outbox import erasure, lanes, retention
from gateway.outbox.keys import Keys
from gateway.outbox.ranges import Ranges
from gateway.privacy.consent import Decision
from tests.simulation.running import digest

#: The seeds are run in so many tests, which may be spread over processes.
PARTS = 4
#: Broken code is to be found out within so many seeds.
WITHIN = 200


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_a_promise(simulate, pytestconfig, size, figure, part):
    only = pytestconfig.getoption("--seed")
    if only is not None and part:
        pytest.skip("one seed is asked for")
    seeds = range(part, size(2_400, 24_000), PARTS) if only is None else [only]
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += simulate(seed).counts
    ended = ", ".join(f"{name[6:]} {count:,}" for name, count in sorted(counts.items()) if name.startswith("ended "))
    done = ", ".join(f"{counts[what]:,} {what}" for what in ("steps", "requests", "deliveries", "checks"))
    figure(f"simulation, part {part}: {len(seeds):,} seeds, {done}, no promise broken; in the end {ended}")


def test_a_seed_is_the_same_world_in_each_process(simulate):
    """Whatever else runs, however long things take, and in whatever order sets give out what they hold.

    In some of these worlds lanes wait for as long as their work took.
    """
    first, end = 190, 230
    command = [sys.executable, "-m", "tests.simulation.running", str(first), str(end)]
    root = Path(__file__).parents[2]
    told = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": salt}, cwd=root, check=True, capture_output=True, text=True
        ).stdout.split()
        for salt in ("1", "2")
    ]
    here = [word for seed in range(first, end) for word in (str(seed), digest(seed))]
    assert told == [here, here]
    assert len(set(here)) == len(here)


def test_what_a_seed_finds_can_be_seen_again(simulate, monkeypatch):
    ignore_retry_after(monkeypatch)
    seed, told = found(simulate)
    assert told[1] == f"seed {seed}: pytest tests/simulation --seed {seed}"
    assert broken(simulate, seed) == told
    assert len(told) > 5


# What the simulation would find: each of these breaks one promise.


def ignore_retry_after(patch):
    patch.setattr(Access, "hold", lambda self, now, seconds: None)


def forget_retry_after_at_the_end(patch):
    real = lanes.record
    patch.setattr(lanes, "record", lambda *given, **rest: real(*given, **{**rest, "held_until": None}))


def send_before_an_events_own_time(patch):
    real = judge.after
    patch.setattr(judge, "after", lambda verdict, *rest: real(replace(verdict, after_s=0.0), *rest))


def let_the_cursor_run_ahead(patch):
    patch.setattr(Hand, "cursor", property(lambda self: self.scan))


def ask_for_consent_once(patch):
    sent = Decision(Action.SEND, "consent_granted", "")
    patch.setattr(claims, "decide_with", lambda *_: sent)


def forget_that_it_is_limited(patch):
    real = claims.Claimer.claim

    def claim(self, stored, decided, *rest):
        to = {name: ("send" if one[0] == "send_limited" else one[0], *one[1:]) for name, one in decided.to.items()}
        return real(self, stored, replace(decided, to=to), *rest)

    patch.setattr(claims.Claimer, "claim", claim)


def forget_what_was_not_seen(patch):
    real = judge.judge
    patch.setattr(judge, "judge", lambda answered, *rest: real(replace(answered, unseen=False), *rest))


def send_in_any_order(patch):
    patch.setattr(Serials, "admit", lambda self, claim: "go")


def forget_what_was_answered(patch):
    patch.setattr(lanes, "settled_after", lambda db, lane, cursor: Ranges())


def lose_what_is_to_be_tried_again(patch):
    real = lanes.record

    def record(db, lane, *, changes, **rest):
        kept = [one for one in changes if one.state is not State.WAITING]
        return real(db, lane, changes=kept, **rest)

    patch.setattr(lanes, "record", record)


def ignore_age(patch):
    real = claims.Claimer.__init__

    def init(self, instance, gate):
        real(self, instance, gate)
        self._limit = None

    patch.setattr(claims.Claimer, "__init__", init)


def take_all_for_too_old(patch):
    real = claims.Claimer.__init__

    def init(self, instance, gate):
        real(self, instance, gate)
        self._limit = 30.0

    patch.setattr(claims.Claimer, "__init__", init)


def mix_groups(patch):
    real = Batches.add

    def add(self, claim, now):
        claim.group = None
        return real(self, claim, now)

    patch.setattr(Batches, "add", add)


def never_break_off(patch):
    patch.setattr(Breaker, "failed", lambda self, now, code="": None)


def never_pause(patch):
    patch.setattr(Access, "stop", lambda self, verdict, now: False)


def delete_what_is_still_owed(patch):
    patch.setattr(retention, "_settled", lambda lanes: "TRUE")


def read_again_what_went_ahead(patch):
    patch.setattr(Hand, "_knows", lambda self, seq: seq in self._fresh or seq in self._due)


def know_no_copy(patch):
    patch.setattr(Keys, "add", lambda self, first, packed: None)


def hear_nothing_before_a_request(patch):
    patch.setattr(Lane, "_unchanged", lambda self, claims: claims)


def forget_what_was_taken_back(patch):
    patch.setattr(reading, "denials_of", lambda *_: {})


def number_no_erasure(patch):
    patch.setattr(erasure.people, "next_change", lambda db: 0)


def leave_what_is_to_be_tried_again_of_an_erased_person(patch):
    real = lanes.record

    def record(db, lane, *, changes, **rest):
        real(db, lane, changes=changes, **rest)
        db.executemany(
            "INSERT OR REPLACE INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [lanes._row(lane, one, rest["now"]) for one in changes],
        )

    patch.setattr(lanes, "record", record)


MUTANTS = (
    ignore_retry_after, forget_retry_after_at_the_end, send_before_an_events_own_time, let_the_cursor_run_ahead,
    ask_for_consent_once, forget_that_it_is_limited, forget_what_was_not_seen, send_in_any_order,
    forget_what_was_answered, lose_what_is_to_be_tried_again, ignore_age, take_all_for_too_old, mix_groups,
    never_break_off, never_pause, delete_what_is_still_owed, read_again_what_went_ahead,
    know_no_copy, hear_nothing_before_a_request, forget_what_was_taken_back, number_no_erasure,
    leave_what_is_to_be_tried_again_of_an_erased_person,
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.__name__)
def test_broken_code_is_found_out(simulate, monkeypatch, figure, mutant):
    mutant(monkeypatch)
    seed, told = found(simulate)
    figure(f"simulation, {mutant.__name__}: found at seed {seed}, {told[0]}")


def found(simulate) -> tuple[int, list[str]]:
    """The first seed whose world found something, and what; fails when none did."""
    for seed in range(WITHIN):
        if told := broken(simulate, seed):
            return seed, told
    pytest.fail(f"not found out in {WITHIN} seeds")


def broken(simulate, seed) -> list[str]:
    """What a seed's world found, in lines; none when it kept all promises."""
    try:
        simulate(seed)
    except AssertionError as error:
        return str(error).splitlines()
    return []
