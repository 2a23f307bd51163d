"""The index of dedup keys, against a dictionary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.keys import BUCKETS, Keys
from gateway.outbox.packing import pack

#: Many fall into the same bucket, and some look like the end of one entry and the beginning of the next.
KEYS = st.one_of(
    st.integers(-5, 5).map(lambda one: one * BUCKETS),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1 << 16, 1 << 48, -1, 0x0000_0001_0000_0000, 0x0100_0000_0000_0000]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(KEYS, min_size=1, max_size=10)),
        st.tuples(st.just("drop"), st.integers(0, 60)),
    ),
    max_size=12,
)


@given(steps=STEPS, since=st.integers(0, 60), base=st.sampled_from([1, 2**32 - 20, 2**40]))
def test_it_knows_the_last_event_of_each_key(steps, since, base) -> None:
    keys, model, seq = Keys(), dict[int, int](), base
    for what, given_ in steps:
        if what == "add":
            keys.add(seq, pack("q", given_))
            model.update((key, seq + at) for at, key in enumerate(given_))
            seq += len(given_)
        else:
            for part in range(3):
                keys.drop(part, 3, base + given_)
            model = {key: at for key, at in model.items() if at >= base + given_}
    for key in {*model, 0, 7, -1, BUCKETS}:
        last = model.get(key)
        assert keys.get(key, base) == last
        assert keys.get(key, base + since) == (last if last is not None and last >= base + since else None)


def test_bytes_of_two_entries_that_look_like_a_key_are_not_taken_for_one() -> None:
    keys = Keys()
    keys.add(1, pack("q", [0, 0]))  # zeros, and a one in the middle of them
    entries = bytes(keys._buckets[0])
    looks = [int.from_bytes(entries[at : at + 8], "little", signed=True) for at in range(1, len(entries) - 7)]
    for key in (one for one in looks if one % BUCKETS == 0 and one != 0):
        assert keys.get(key, 0) is None
    assert keys.get(0, 0) == 2


def test_what_is_dropped_leaves_no_entry() -> None:
    keys = Keys()
    keys.add(1, pack("q", range(1_000)))
    for part in range(8):
        keys.drop(part, 8, 901)
    assert len(keys) == 100
