"""Taking events in: order, duplicates, and what a copy with consent reopens."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.outbox import lanes, people
from gateway.outbox.append import Log, first_since
from gateway.outbox.engine import connect, sqlite3, transaction
from gateway.outbox.people import People


def events(outbox):
    with outbox.reading() as db:
        return db.execute("SELECT seq, event_id FROM event ORDER BY seq").fetchall()


def decided(outbox, seq):
    with outbox.reading() as db:
        row = db.execute("SELECT data FROM decision JOIN event ON decision = id WHERE seq = ?", (seq,)).fetchone()
    return json.loads(row[0])


def decision_of(outbox, seq):
    return decided(outbox, seq)["to"]


def rows(outbox):
    with outbox.reading() as db:
        return db.execute("SELECT lane, seq, state, code FROM delivery ORDER BY lane, seq").fetchall()


def open_lanes(outbox, *instances):
    for name in instances:
        outbox.write_blocking(lambda db, name=name: lanes.open_lane(db, name, 1))


def test_events_are_numbered_in_the_order_of_acceptance(opened, record, put):
    outbox = opened()
    assert put(outbox, record("a"), record("b")) == [(1, False), (2, False)]
    assert put(outbox, record("c")) == [(3, False)]
    assert events(outbox) == [(1, "a"), (2, "b"), (3, "c")]


def test_a_copy_is_a_duplicate_and_is_not_stored(opened, record, put):
    outbox = opened()
    put(outbox, record("a"))
    assert put(outbox, record("b"), record("a")) == [(2, False), (1, True)]
    assert events(outbox) == [(1, "a"), (2, "b")]


def test_within_one_body_the_second_is_the_duplicate(opened, record, put):
    outbox = opened()
    assert put(outbox, record("a"), record("a"), record("b")) == [(1, False), (1, True), (2, False)]


@pytest.mark.parametrize("size", [1, 2, 31, 32, 33, 64, 100])
def test_a_group_of_any_size_is_stored_whole_and_in_order(opened, record, put, time, size):
    outbox = opened(window_s=1000)
    put(outbox, record("past"))
    time.now += 1001
    _sweep(outbox)
    put(outbox, record("known"))
    body = [record(f"e{number}", clear=None if number % 3 else b"{}") for number in range(size)]
    answers = put(outbox, *body, record("known"), *body, record("past"))
    stored = [(3 + number, False) for number in range(size)]
    again = [(seq, True) for seq, _ in stored]
    assert answers == [*stored, (2, True), *again, (3 + size, False)]
    names = ["past", "known", *(one.event_id for one in body), "past"]
    assert events(outbox) == list(enumerate(names, 1))
    with outbox.reading() as db:
        assert db.execute("SELECT count(*) FROM clear").fetchone()[0] == 3 + sum(one.clear is not None for one in body)
    assert put(outbox, *body, record("past")) == [*again, (3 + size, True)]


def test_one_bad_record_of_a_large_group_leaves_nothing_of_it(opened, record):
    outbox = opened()
    bad = [record(f"e{number}") for number in range(40)]
    bad[20] = replace(bad[20], source=None)
    log = Log(1000, People(bytes(32)))
    db = connect(outbox.path)
    log.attach(db)
    with transaction(db):
        log.sync(db)
    with pytest.raises(sqlite3.IntegrityError), transaction(db):
        log.append(db, bad)
    log.forget()
    with transaction(db):
        assert [one.seq for one in log.append(db, bad[:20])] == list(range(1, 21))
    db.close()
    assert len(events(outbox)) == 20


def test_another_source_shares_duplicates_only_within_a_group(opened, record, put):
    outbox = opened()
    put(outbox, record("a"), record("b", scope="group:shop"))
    answers = put(outbox, record("a", scope="source:other"), record("b", scope="group:shop"))
    assert [duplicate for _, duplicate in answers] == [False, True]


def test_duplicates_are_known_after_a_restart(opened, record, put):
    put(opened(), record("a"))
    opened.close()
    assert put(opened(), record("a"), record("b")) == [(1, True), (2, False)]


def test_two_processes_agree_about_duplicates_and_numbers(opened, record, put):
    one, two = opened(), opened()
    assert put(one, record("a")) == [(1, False)]
    assert put(two, record("a"), record("b")) == [(1, True), (2, False)]
    assert put(one, record("b"), record("c"), record("a")) == [(2, True), (3, False), (1, True)]
    assert put(two, record("c"), record("d")) == [(3, True), (4, False)]


def test_after_the_window_a_copy_is_a_new_event(opened, record, put, time):
    outbox = opened(window_s=1000)
    put(outbox, record("a"))
    time.now += 999
    assert put(outbox, record("a")) == [(1, True)]
    time.now += 2
    for _ in range(64):
        _sweep(outbox)
    assert put(outbox, record("a")) == [(2, False)]
    assert put(outbox, record("a")) == [(2, True)]


def test_after_the_window_it_is_new_after_a_restart_too(opened, record, put, time):
    put(opened(window_s=1000), record("a"))
    opened.close()
    time.now += 1001
    assert put(opened(window_s=1000), record("a")) == [(2, False)]
    opened.close()
    time.now += 500
    assert put(opened(window_s=1000), record("a")) == [(2, True)]


def test_what_one_process_took_again_after_the_window_is_a_duplicate_in_the_other(opened, record, put, time):
    """The other still has the key of the first copy in its index."""
    one, two = opened(window_s=1000), opened(window_s=1000)
    put(one, record("a"))
    put(two, record("b"))  # now it has read the key of a
    time.now += 1001
    for outbox in (one, two):  # one slice: the window is past, the old key of a mostly still there
        _sweep(outbox)
    assert put(one, record("a")) == [(3, False)]
    assert put(two, record("a")) == [(3, True)]


def test_an_outbox_opened_while_another_process_writes_misses_no_key(opened, record, put, monkeypatch):
    """Between reading the keys and the end of the log, another process commits."""
    from gateway.outbox import append

    one = opened()
    put(one, record("a"))
    end_of_log = append._end_of_log
    meanwhile = [record("b")]

    def late(db):
        if meanwhile:
            put(one, meanwhile.pop())
        return end_of_log(db)

    monkeypatch.setattr(append, "_end_of_log", late)
    two = opened()
    assert not meanwhile
    assert put(two, record("b"), record("c")) == [(2, True), (3, False)]


def test_a_copy_that_brings_consent_queues_what_was_held_for_want_of_it(opened, record, put):
    outbox = opened()
    open_lanes(outbox, "acme", "other")
    put(outbox, record("a", acme="consent", other="send"))
    assert put(outbox, record("a", acme="send", other="send")) == [(1, True)]
    assert rows(outbox) == [(1, 1, "waiting", "consent_given")]
    assert {name: one[0] for name, one in decision_of(outbox, 1).items()} == {"acme": "send", "other": "send"}


def test_a_copy_with_consent_in_the_same_body_counts_too(opened, record, put):
    outbox = opened()
    open_lanes(outbox, "acme")
    put(outbox, record("a", acme="consent"), record("a", acme="send"))
    assert rows(outbox) == [(1, 1, "waiting", "consent_given")]


def test_a_copy_reopens_nothing_that_was_held_because_of_a_withdrawal(opened, record, put):
    """The first copy had consent: a later grant releases nothing, and this copy brings nothing new."""
    outbox = opened()
    open_lanes(outbox, "acme", "other")
    put(outbox, record("a", acme="consent:consent_withdrawn", other="consent:consent_missing"))
    put(outbox, record("a", acme="send", other="send"))
    assert rows(outbox) == [(2, 1, "waiting", "consent_given")]
    assert decision_of(outbox, 1)["acme"][:3] == ["skipped", "consent", "consent_withdrawn"]


def test_a_copy_reopens_nothing_that_came_in_before_its_person_was_erased(opened, record, put, time):
    """Held for want of consent it was stored without its person, so that no erasure could find it."""
    outbox = opened()
    open_lanes(outbox, "acme")
    put(outbox, record("a", acme="consent"))
    outbox.write_blocking(lambda db: people.suppress(db, [7], time.now))
    time.now += 60
    assert put(outbox, record("a", people=(7,), acme="send")) == [(1, True)]
    assert rows(outbox) == []
    assert decision_of(outbox, 1)["acme"][0] == "skipped"
    put(outbox, record("b", people=(), acme="consent"), record("b", people=(7,), acme="send"))  # since then
    assert rows(outbox) == [(1, 2, "waiting", "consent_given")]


def test_a_copy_changes_nothing_for_the_other_destinations(opened, record, put):
    """Neither is a delivery taken back, nor one made that the first copy did not owe."""
    outbox = opened()
    open_lanes(outbox, "acme", "owed", "spared")
    put(outbox, record("a", acme="consent", owed="send", spared="not_routed"))
    put(outbox, record("a", acme="send", owed="not_routed", spared="send"))
    outcomes = {name: one[:2] for name, one in decision_of(outbox, 1).items()}
    assert outcomes["acme"][0] == outcomes["owed"][0] == "send"
    assert outcomes["spared"] == ["skipped", "not_routed"]
    assert [row[0] for row in rows(outbox)] == [1]


def test_what_two_policies_said_counts_as_what_none_has_said(opened, record, put):
    """Else a return to the first policy, which held it, would let it go without being asked."""
    outbox = opened()
    open_lanes(outbox, "acme")
    put(outbox, record("a", acme="consent"), record("b", acme="consent"))
    copy = record("a", acme="send")
    put(outbox, replace(copy, decision=copy.decision.replace('"p"', '"lax"')), record("b", acme="send"))
    assert decision_of(outbox, 1)["acme"][0] == "send"
    assert [decided(outbox, seq)["policy"] for seq in (1, 2)] == ["", "p"]


def test_a_copy_reopens_nothing_else_and_nothing_twice(opened, record, put):
    outbox = opened()
    open_lanes(outbox, "acme")
    put(outbox, record("a", acme="event_not_mapped"), record("b", acme="consent"))
    put(outbox, record("a", acme="send"), record("b", acme="send"))
    outbox.write_blocking(lambda db: db.execute("DELETE FROM delivery"))
    put(outbox, record("b", acme="send"), record("b", acme="consent"))
    assert rows(outbox) == []


def test_the_time_of_a_commit_finds_its_first_event(opened, record, put, time):
    outbox = opened()
    begun = time.now
    for at in range(7):
        time.now = begun + at * 10
        put(outbox, *(record(f"{at}-{one}") for one in range(at % 3 + 1)))
    with outbox.reading() as db:
        firsts = db.execute("SELECT first_seq, committed_at FROM intake ORDER BY 1").fetchall()
        for when in range(-5, 75, 5):
            expected = next((first for first, at in firsts if at >= begun + when), events(outbox)[-1][0] + 1)
            assert first_since(db, begun + when) == expected


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bodies=st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5), max_size=12), seed=st.integers(0, 1)
)
def test_any_two_processes_store_each_event_once(tmp_path_factory, record, put, time, bodies, seed):
    from gateway.outbox import Outbox

    path = tmp_path_factory.mktemp("outbox") / "gateway.db"
    both = [Outbox(path, clock=time) for _ in range(2)]
    for outbox in both:
        outbox.start()
    first: dict[str, int] = {}
    for at, body in enumerate(bodies):
        answers = put(both[(at * 7 + seed) % 3 % 2], *map(record, body))
        for event_id, (seq, duplicate) in zip(body, answers, strict=True):
            assert duplicate == (event_id in first)
            assert first.setdefault(event_id, seq) == seq
    for outbox in both:
        outbox.close()
    assert sorted(first.values()) == list(range(1, len(first) + 1))


def _sweep(outbox):
    import anyio

    anyio.run(outbox.sweep_dedup)


@pytest.mark.parametrize("slices", [1, 64])
def test_sweeping_all_slices_forgets_all_old_keys_and_no_others(opened, record, put, time, monkeypatch, slices):
    monkeypatch.setattr("gateway.outbox.sqlite.SWEEP_SLICES", slices)
    outbox = opened(window_s=1000)
    put(outbox, *(record(f"old-{number}") for number in range(200)))
    time.now += 1001
    put(outbox, record("new"))
    for _ in range(slices):
        _sweep(outbox)
    assert len(outbox._log._keys) == 1
    assert put(outbox, record("new")) == [(201, True)]
