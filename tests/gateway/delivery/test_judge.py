"""What an answer means for each claim and for the lane."""

from __future__ import annotations

import random

import pytest

from gateway.delivery.claims import Claim
from gateway.delivery.judge import judge, tried
from gateway.delivery.sender import Answered
from gateway.model.delivery import State
from gateway.plugin import Retry, verdicts

NOW = 1_795_000_000.0


def claims(*seqs, **fields):
    return [Claim(seq, {}, None, False, **fields) for seq in seqs]


@pytest.fixture
def judged(use):
    def run(verdict, given, *, frozen_s=0.0, unseen=False, **options):
        answered = Answered(verdict, NOW, 0.1, 200, tried=True, unseen=unseen)
        return judge(answered, given, use(**options), frozen_s, NOW, random.Random(1))

    return run


def rows(outcome):
    return {change.seq: (str(change.state), change.code, change.tries) for change in outcome.changes}


def test_delivered_is_done(judged):
    outcome = judged(verdicts.delivered(), claims(1, 2))
    assert outcome.taken == {1, 2}
    assert outcome.changes == []
    assert not outcome.trouble


def test_a_split_gives_two_halves_in_order(judged):
    outcome = judged(verdicts.split("x"), claims(1, 2, 3))
    assert [[one.seq for one in part] for part in outcome.again] == [[1], [2, 3]]
    assert outcome.changes == []


def test_a_reject_is_a_dead_letter(judged):
    outcome = judged([verdicts.reject("bad", "words"), verdicts.delivered()], claims(1, 2))
    assert rows(outcome) == {1: ("dead", "bad", 1)}
    assert outcome.taken == {2}
    assert (outcome.verdict, outcome.code, outcome.message) == ("mixed", "bad", "words")


def test_all_of_one_request_are_tried_again_together(judged):
    outcome = judged(verdicts.retry("x"), claims(*range(50)))
    assert len({change.next_at for change in outcome.changes}) == 1
    assert outcome.trouble


def test_a_pause_gives_all_back_unchanged(judged):
    outcome = judged(verdicts.pause("dead"), claims(1, 2))
    assert [one.seq for one in outcome.back] == [1, 2]
    assert outcome.changes == []
    assert outcome.pause.code == "dead"


@pytest.mark.parametrize("other", [verdicts.pause("dead"), verdicts.retry("held", after_s=0)])
def test_what_a_mixed_answer_leaves_open_has_a_row_and_no_try_counted(judged, other):
    outcome = judged([verdicts.reject("bad"), other], claims(1, 2, tries=2, first_at=NOW - 9, frozen_s=3.0, serial=5))
    change = outcome.changes[1]
    assert (change.seq, change.state, change.tries) == (2, State.WAITING, 2)
    assert (change.first_at, change.frozen_s, change.next_at, change.serial) == (NOW - 9, 3.0, NOW, 5)
    assert outcome.again == []
    assert outcome.back == []


def test_the_request_id_of_a_mixed_answer_is_kept_whoever_comes_first(judged):
    outcome = judged([verdicts.reject("bad"), verdicts.received("r-1")], claims(1, 2))
    assert outcome.request_id == "r-1"
    assert outcome.code == "bad"


def test_the_first_try_sets_the_clock_and_later_ones_keep_it(judged):
    [first] = judged(verdicts.retry("x"), claims(1), frozen_s=50.0).changes
    assert (first.tries, first.first_at, first.frozen_s) == (1, NOW, 50.0)
    again = claims(1, tries=4, first_at=NOW - 100, frozen_s=20.0, due=True)
    [later] = judged(verdicts.retry("x"), again, frozen_s=50.0).changes
    assert (later.tries, later.first_at, later.frozen_s) == (5, NOW - 100, 20.0)


def test_time_paused_since_the_first_try_is_not_counted(judged):
    again = claims(1, tries=1, first_at=NOW - 100, frozen_s=20.0)
    policy = Retry(first_s=0, give_up_s=50)
    assert judged(verdicts.retry("x"), again, frozen_s=20.0, retry=policy).changes[0].state is State.DEAD
    assert judged(verdicts.retry("x"), again, frozen_s=100.0, retry=policy).changes[0].state is State.WAITING


def test_an_unseen_answer_is_never_forgotten(judged):
    [change] = judged(verdicts.retry("timeout"), claims(1), unseen=True).changes
    assert change.unseen
    [change] = judged(verdicts.retry("http_503"), claims(1, unseen=True)).changes
    assert change.unseen


def test_giving_up_keeps_the_last_answer(judged):
    [change] = judged(verdicts.retry("odd", "strange words", tries=1), claims(1)).changes
    assert (change.state, change.code) == (State.DEAD, "odd")
    assert "strange words" in change.message


def test_the_record_of_a_try_is_in_the_order_of_the_log(judged):
    given = claims(9, 2, 5, serial=None)
    given[0].serial = 77
    outcome = judged(verdicts.received("r-1"), given)
    row = tried(Answered(verdicts.received("r-1"), NOW, 0.1, 200, tried=True), given, outcome, NOW + 60)
    assert list(row.seqs) == [2, 5, 9]
    assert [bond and bond.hash for bond in row.serials] == [None, None, 77]
    assert (row.request_id, row.follow_up_at) == ("r-1", NOW + 60)


def test_what_was_never_sent_is_no_attempt(judged):
    given = claims(1)
    answered = Answered(verdicts.reject("plugin_bug"), NOW)
    assert tried(answered, given, judged(answered.verdict, given), None) is None


def test_after_its_tries_such_an_answer_stops_the_lane_instead_of_killing_the_event(judged):
    verdict = verdicts.retry("50000", tries=10, then_pause=True)
    [early] = judged(verdict, claims(1, due=True, tries=8, first_at=NOW - 60)).changes
    assert early.state is State.WAITING
    outcome = judged(verdict, claims(1, due=True, tries=9, first_at=NOW - 60))
    assert outcome.changes == []
    assert outcome.pause == verdict
    assert [one.seq for one in outcome.back] == [1]


def test_an_event_may_be_repeated_unseen_for_less_than_its_platform_allows(judged):
    verdict, policy = verdicts.retry("timeout"), Retry(first_s=0, unseen_s=3600)
    [seen] = judged(verdict, claims(1, unseen_until=NOW - 1), retry=policy).changes
    [unseen] = judged(verdict, claims(1, unseen_until=NOW - 1), unseen=True, retry=policy).changes
    [in_time] = judged(verdict, claims(1, unseen_until=NOW + 1), unseen=True, retry=policy).changes
    assert [one.state for one in (seen, unseen, in_time)] == [State.WAITING, State.DEAD, State.WAITING]
