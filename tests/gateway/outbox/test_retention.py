"""What is forgotten, and what must not be."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gateway.model.delivery import State
from gateway.outbox import lanes, people, retention
from gateway.outbox.lanes import Bond, Change, Tried

DAY = 86_400.0


@pytest.fixture
def filled(opened, record, put, time):
    """Ten events of ten days, two lanes; the first lane is past all, the second past none."""
    outbox = opened(window_s=7 * DAY)
    for instance in ("acme", "other"):
        outbox.write_blocking(lambda db, instance=instance: lanes.open_lane(db, instance, 1))
    for number in range(10):
        put(outbox, record(f"e{number}", clear=b'{"client_ip_address": "192.0.2.7"}'))
        time.now += DAY
    _record(outbox, 1, cursor=10)
    return outbox


def _record(outbox, lane, *, cursor=None, changes=(), tried=None):
    outbox.write_blocking(
        lambda db: lanes.record(db, lane, cursor=cursor, tried=tried, settled=(), changes=changes, now=0.0)
    )


def waits(seq):
    return Change(seq, State.WAITING, 1, 1.0, next_at=2.0)


def tried(*seqs, follow_up_at=None):
    return Tried(seqs, 1.0, 0.1, 200, "received", "", "", "request-1", follow_up_at=follow_up_at)


def left(outbox, table, column="seq"):
    with outbox.reading() as db:
        return [row[0] for row in db.execute(f"SELECT {column} FROM {table} ORDER BY 1")]


def payloads(outbox):
    with outbox.reading() as db:
        return [row[0] for row in db.execute("SELECT seq FROM event WHERE payload IS NOT NULL ORDER BY 1")]


def shred(outbox, running, older_than=None):
    return outbox.write_blocking(lambda db: retention.shred_clear(db, running, older_than=older_than))


def empty(outbox, running, older_than):
    return outbox.write_blocking(lambda db: retention.drop_payloads(db, running, older_than))


def drop(outbox, running, older_than, dedup_since=0.0, now=1_900_000_000.0):
    return outbox.write_blocking(lambda db: retention.drop_events(db, running, older_than, dedup_since, now))


def test_addresses_go_as_soon_as_the_last_delivery_is_final(filled):
    assert shred(filled, [1, 2]) == 0  # the second lane has still to read them
    _record(filled, 2, cursor=6, changes=[waits(3)])
    assert shred(filled, [1, 2]) == 5
    assert left(filled, "clear") == [3, 7, 8, 9, 10]


def test_addresses_go_after_their_time_whatever_still_waits(filled, time):
    _record(filled, 1, changes=[waits(2)])
    assert shred(filled, [1, 2], older_than=time.now - 4.5 * DAY) == 6
    assert left(filled, "clear") == [7, 8, 9, 10]


def test_a_destination_that_is_gone_holds_nothing_back(filled):
    _record(filled, 2, changes=[waits(3)])
    assert shred(filled, [1]) == 10
    assert left(filled, "clear") == []


def test_an_outcome_that_is_still_to_be_reported_holds_back(filled):
    _record(filled, 1, tried=tried(4, 5, follow_up_at=5.0))
    assert shred(filled, [1]) == 3
    assert left(filled, "clear") == [4, 5, 6, 7, 8, 9, 10]


def test_an_outcome_that_a_destination_now_gone_owed_holds_nothing_back(filled):
    _record(filled, 2, tried=tried(1, 2, follow_up_at=5.0))
    assert shred(filled, [1]) == 10


def test_payloads_stay_while_they_are_to_be_sent(filled, time):
    _record(filled, 2, cursor=10, changes=[waits(2)])
    assert empty(filled, [1, 2], time.now - 5.5 * DAY) == 4
    assert payloads(filled) == [2, 6, 7, 8, 9, 10]
    assert left(filled, "event") == list(range(1, 11))


def test_what_a_payload_took_on_disk_can_be_used_again(opened, record, put, time):
    outbox = opened()
    put(outbox, *(replace(record(f"event-{number}"), payload=b"x" * 1_000) for number in range(400)))
    with outbox.reading() as db:
        rows = db.execute("SELECT seq, event_id, decision FROM event").fetchall()
    assert empty(outbox, [], time.now + 1) == 400
    with outbox.reading() as db:
        free, pages = (db.execute(f"PRAGMA {one}").fetchone()[0] for one in ("freelist_count", "page_count"))
        assert free > 0.5 * pages
        assert db.execute("SELECT seq, event_id, decision FROM event").fetchall() == rows


def test_events_go_with_all_that_belongs_to_them(filled, time):
    _record(filled, 1, tried=tried(1, 2))
    _record(filled, 2, cursor=10, changes=[Change(1, State.DEAD, code="bad"), Change(9, State.DEAD, code="bad")])
    assert drop(filled, [1, 2], time.now - 5.5 * DAY) == 5
    assert left(filled, "event") == [6, 7, 8, 9, 10]
    assert left(filled, "clear") == [6, 7, 8, 9, 10]
    assert left(filled, "delivery") == [9]
    assert left(filled, "attempt", "last_seq") == []


def test_that_a_platform_took_an_order_is_remembered_after_the_order_is_forgotten(filled, time):
    """A refund that comes later must find what it changes."""
    bonds = [Bond(7, time.now - 10 * DAY), Bond(8, time.now - 9 * DAY)]
    _record(filled, 2, cursor=10, tried=Tried([1, 2], 1.0, 0.1, 200, "delivered", "", "", serials=bonds))
    drop(filled, [1, 2], time.now - 5.5 * DAY, now=time.now)
    assert left(filled, "event")[0] == 6
    with filled.reading() as db:
        assert lanes.series(db, 2, 7, 11).first_at == bonds[0].at
    later = bonds[0].at + retention.SERIAL_S + 1.0
    drop(filled, [1, 2], time.now - 4.5 * DAY, now=later)
    assert left(filled, "serial", "hash") == [8]


def test_what_waits_to_be_sent_is_never_dropped(filled, time):
    _record(filled, 2, cursor=10, changes=[waits(2)])
    drop(filled, [1, 2], time.now - 5.5 * DAY)
    assert left(filled, "event") == [2, 6, 7, 8, 9, 10]
    assert left(filled, "delivery") == [2]
    with filled.reading() as db:
        assert [one.event.seq for one in lanes.read_due(db, 2, 10.0, 10, up_to=10)] == [2]


def test_many_that_wait_do_not_stop_the_forgetting(filled, time, monkeypatch):
    monkeypatch.setattr(retention, "STEP", 2)
    _record(filled, 2, cursor=10, changes=[waits(1), waits(2), waits(3)])
    while drop(filled, [1, 2], time.now - 2.5 * DAY) == 2:
        pass
    assert left(filled, "event") == [1, 2, 3, 9, 10]


def test_what_a_destination_now_gone_had_waiting_goes_with_the_event(filled, time):
    _record(filled, 2, changes=[waits(2)], tried=tried(3, 4, follow_up_at=1.0))
    drop(filled, [1], time.now - 5.5 * DAY)
    assert left(filled, "delivery") == []
    assert left(filled, "receipt", "attempt") == []


def test_nothing_goes_before_a_running_lane_has_read_it(filled, time):
    assert drop(filled, [1, 2], time.now) == 0
    assert empty(filled, [1, 2], time.now) == 0


def test_duplicates_are_known_as_long_as_their_window_lasts(filled, opened, record, put, time):
    _record(filled, 2, cursor=10)
    drop(filled, [1, 2], time.now - 1.5 * DAY, time.now - 7 * DAY)
    assert left(filled, "event") == [10]
    opened.close()
    again = opened(window_s=7 * DAY)
    assert put(again, record("e8")) == [(9, True)]
    assert put(again, record("e0")) == [(11, False)]


def test_numbers_go_on_after_everything_is_forgotten(filled, opened, record, put, time):
    _record(filled, 2, cursor=10)
    time.now += 100 * DAY
    drop(filled, [1, 2], time.now, time.now)
    assert left(filled, "event") == []
    opened.close()
    assert put(opened(), record("fresh")) == [(11, False)]


def test_deleted_content_is_not_in_the_file_any_more(filled, time):
    """Beyond the log, which the next checkpoint overwrites."""
    _record(filled, 2, cursor=10)
    shred(filled, [1, 2])
    filled.close()
    assert b"192.0.2.7" not in filled.path.read_bytes()


def first(outbox, what, older_than, start=0):
    with outbox.reading() as db:
        return retention.first_free(db, [1], what, older_than, start)


def test_what_may_go_first_is_found_behind_what_waits(filled):
    _record(filled, 1, changes=[waits(1), waits(2), waits(5)])
    assert first(filled, "addresses", None) == 3
    assert first(filled, "payloads", 2**40, start=5) == 6
    assert first(filled, "events", 2**40, start=3) == 3
    assert first(filled, "events", 0.0) is None


def test_addresses_past_their_time_go_although_somebody_waits_for_them(filled):
    _record(filled, 1, changes=[waits(1)])
    assert first(filled, "addresses", 2**40) == 1
    assert shred(filled, [1], older_than=2**40) == 10
    assert first(filled, "addresses", 2**40) is None


def test_a_step_from_a_number_looks_no_further_than_its_span(filled, monkeypatch):
    monkeypatch.setattr(retention, "SPAN", 3)
    assert filled.write_blocking(lambda db: retention.shred_clear(db, [1], older_than=None, start=2)) == 4
    assert left(filled, "clear") == [1, 6, 7, 8, 9, 10]


def test_an_event_that_waits_is_found_by_its_person_however_old_it_is(opened, record, put, time):
    outbox = opened()
    outbox.write_blocking(lambda db: lanes.open_lane(db, "acme", 1))
    put(outbox, record("waits", people=(7,)))
    for number in range(4):
        put(outbox, record(f"done-{number}", people=(8,)))
    _record(outbox, 1, cursor=5, changes=[waits(1)])
    time.now += 40 * DAY
    put(outbox, record("new"))
    assert drop(outbox, [1], time.now - 30 * DAY, dedup_since=time.now - 2 * DAY, now=time.now) == 4
    assert left(outbox, "event") == [1, 6]
    with outbox.reading() as db:
        assert people.events_about(db, [7]) == [1]
    _record(outbox, 1, cursor=6, changes=[Change(1, State.DEAD, code="bad")])
    put(outbox, record("newer"))
    assert drop(outbox, [1], time.now - 30 * DAY, dedup_since=time.now - 2 * DAY, now=time.now) == 1
    with outbox.reading() as db:
        assert db.execute("SELECT min(first_seq) FROM intake").fetchone()[0] > 5
