"""Batches: full or due, each of one group."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.batching import Batches
from gateway.delivery.claims import Claim

NOW = 1_795_000_000.0


def claim(seq, group=None, *, test=False):
    return Claim(seq, {}, group, test)


def seqs(batch):
    return None if batch is None else [one.seq for one in batch]


def test_a_batch_is_ready_when_it_is_full_or_its_time_is_up():
    batches = Batches(2, 5.0)
    batches.add(claim(1), NOW)
    assert batches.ready(NOW + 4.9, 2) is None
    assert batches.ready_at == NOW + 5
    assert seqs(batches.ready(NOW + 5, 2)) == [1]
    batches.add(claim(2), NOW)
    batches.add(claim(3), NOW)
    assert seqs(batches.ready(NOW, 2)) == [2, 3]
    assert batches.ready_at is None


def test_a_full_group_does_not_wait_behind_one_that_is_not():
    batches = Batches(2, 5.0)
    batches.add(claim(1, "slow"), NOW)
    batches.add(claim(2, "fast"), NOW)
    batches.add(claim(3, "fast"), NOW)
    assert seqs(batches.ready(NOW, 2)) == [2, 3]
    assert batches.ready(NOW, 2) is None


def test_a_probe_takes_one_and_the_rest_stays():
    batches = Batches(3, 5.0)
    for seq in range(3):
        batches.add(claim(seq), NOW)
    assert seqs(batches.ready(NOW, 1)) == [0]
    assert batches.ready(NOW, 3) is None
    assert seqs(batches.ready(NOW + 5, 3)) == [1, 2]


def test_draining_gives_everything_back():
    batches = Batches(2, 5.0)
    for seq in range(5):
        batches.add(claim(seq, seq % 2), NOW)
    assert sorted(one.seq for one in batches.drain()) == [0, 1, 2, 3, 4]
    assert len(batches) == 0
    assert batches.ready(NOW + 100, 2) is None


@given(
    claims=st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=60),
    size=st.integers(1, 5),
    limits=st.lists(st.integers(1, 5), min_size=1),
)
def test_each_claim_comes_out_once_in_order_with_its_own_kind(claims, size, limits):
    batches, now, out = Batches(size, 1.0), NOW, []
    for seq, (group, test) in enumerate(claims):
        batches.add(claim(seq, group, test=test), now)
        if seq % 4 == 0:
            now += 0.4
            if batch := batches.ready(now, min(size, limits[seq % len(limits)])):
                out.append(batch)
    while batch := batches.ready(now + 10, size):
        out.append(batch)
    assert sorted(one.seq for batch in out for one in batch) == list(range(len(claims)))
    for batch in out:
        assert 1 <= len(batch) <= size
        assert len({(one.group, one.test) for one in batch}) == 1
        assert seqs(batch) == sorted(seqs(batch))
