"""Thousands of worlds, each from one seed: no promise is broken, each can be seen again, broken code is found out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from gateway.delivery import claims, judge
from gateway.delivery.access import Access
from gateway.delivery.batching import Batches
from gateway.delivery.hand import Hand
from gateway.delivery.serials import Serials
from gateway.model.delivery import Action, State
from gateway.outbox import lanes
from gateway.privacy.consent import Decision

#: The seeds are run in so many tests, which may be spread over processes.
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_a_promise(simulate, pytestconfig, size, figure, part):
    only = pytestconfig.getoption("--seed")
    if only is not None and part:
        pytest.skip("one seed is asked for")
    seeds = range(part, size(2_000, 10_000), PARTS) if only is None else [only]
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += simulate(seed).counts
    ended = ", ".join(f"{name[6:]} {count:,}" for name, count in sorted(counts.items()) if name.startswith("ended "))
    done = ", ".join(f"{counts[what]:,} {what}" for what in ("steps", "requests", "deliveries", "checks"))
    figure(f"simulation, part {part}: {len(seeds):,} seeds, {done}, no promise broken; in the end {ended}")


@pytest.mark.parametrize("seed", [7, 4_711])
def test_a_seed_is_the_same_world_each_time(simulate, seed):
    first, second = simulate(seed), simulate(seed)
    assert first.trace == second.trace
    assert len(first.trace) > 20
    assert first.counts == second.counts


# What the simulation would find: each of these breaks one promise.


def ignore_retry_after(patch):
    patch.setattr(Access, "hold", lambda self, now, seconds: None)


def let_the_cursor_run_ahead(patch):
    patch.setattr(Hand, "cursor", property(lambda self: self.scan))


def ask_for_consent_once(patch):
    sent = Decision(Action.SEND, "consent_granted", "")
    patch.setattr(claims, "decide", lambda *_: sent)


def forget_what_was_not_seen(patch):
    real = judge.judge
    patch.setattr(judge, "judge", lambda answered, *rest: real(replace(answered, unseen=False), *rest))


def send_in_any_order(patch):
    patch.setattr(Serials, "admit", lambda self, claim: "go")


def forget_what_was_answered(patch):
    patch.setattr(lanes, "settled_after", lambda db, lane, cursor: set())


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


def mix_groups(patch):
    real = Batches.add

    def add(self, claim, now):
        claim.group = None
        return real(self, claim, now)

    patch.setattr(Batches, "add", add)


MUTANTS = (
    ignore_retry_after, let_the_cursor_run_ahead, ask_for_consent_once, forget_what_was_not_seen, send_in_any_order,
    forget_what_was_answered, lose_what_is_to_be_tried_again, ignore_age, mix_groups,
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.__name__)
def test_broken_code_is_found_out(simulate, monkeypatch, figure, mutant):
    mutant(monkeypatch)
    seed, told = next((seed, words) for seed in range(200) if (words := broken(simulate, seed)))
    assert told[1] == f"seed {seed}: pytest tests/simulation --seed {seed}"
    figure(f"simulation, {mutant.__name__}: found at seed {seed}, {told[0]}")


def broken(simulate, seed) -> list[str]:
    """What a seed's world found, in lines; none when it kept all promises."""
    try:
        simulate(seed)
    except AssertionError as error:
        return str(error).splitlines()
    return []
