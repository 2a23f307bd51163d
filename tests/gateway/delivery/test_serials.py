"""Who goes, who waits in hand and who on disk: any history keeps the order of a key and loses nothing."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.delivery.claims import Claim
from gateway.delivery.serials import Serials

KEYS = (7, 8)


def claim(seq, key, *, due=False):
    return Claim(seq, {}, None, False, due=due, serial=key)


class OneLane(RuleBasedStateMachine):
    """A lane that reads its log in order, and its rows whenever one is free; a model of what `Lane` does."""

    @initialize(keys=st.lists(st.sampled_from((*KEYS, None)), min_size=1, max_size=20))
    def begin(self, keys):
        self.log = list(enumerate(keys))
        self.scan = 0
        self.serials = Serials()
        self.sending: dict[int, Claim] = {}
        self.held: dict[int, Claim] = {}
        self.rows: dict[int, int | None] = {}
        self.done: list[int] = []

    def _take(self, one):
        where = self.serials.admit(one)
        if where == "go":
            self.sending[one.seq] = one
        elif where == "hold":
            self.held[one.seq] = one
        else:
            assert not one.due
            self.rows[one.seq] = one.serial

    @rule()
    def read_the_log(self):
        if self.scan < len(self.log):
            seq, key = self.log[self.scan]
            self.scan += 1
            if seq not in self.rows and seq not in self.done and seq not in self.sending and seq not in self.held:
                self._take(claim(seq, key))

    @rule(data=st.data())
    def take_a_row(self, data):
        in_hand = self.sending.keys() | self.held.keys()
        free = [
            seq
            for seq, key in self.rows.items()
            if seq not in in_hand and (key is None or not any(k == key and s < seq for s, k in self.rows.items()))
        ]
        if free:
            seq = data.draw(st.sampled_from(free))
            self._take(claim(seq, self.rows[seq], due=True))

    @precondition(lambda self: self.sending)
    @rule(data=st.data(), waits=st.booleans())
    def finish(self, data, waits):
        seq = data.draw(st.sampled_from(sorted(self.sending)))
        one = self.sending.pop(seq)
        if waits:
            self.rows[seq] = one.serial
        else:
            self.rows.pop(seq, None)
            self.done.append(seq)
        following, behind = self.serials.finish(one, waits=waits)
        for other in following:
            self.sending[other.seq] = self.held.pop(other.seq)
        for other in behind:
            del self.held[other.seq]
            if not other.due:
                self.rows[other.seq] = other.serial

    @precondition(lambda self: self.sending)
    @rule()
    def pause(self):
        """Everything goes back; the log is read again from the first that came from it."""
        back = []
        for one in list(self.sending.values()):
            del self.sending[one.seq]
            back += [one, *self.serials.let_go(one)]
        for one in back:
            self.held.pop(one.seq, None)
        fresh = [one.seq for one in back if not one.due]
        self.scan = min([self.scan, *fresh])

    @rule()
    def restart(self):
        self.pause()
        self.serials = Serials()
        self.serials.parked((key, seq) for seq, key in self.rows.items() if key is not None)

    @invariant()
    def one_at_a_time(self):
        keys = [one.serial for one in self.sending.values() if one.serial is not None]
        assert len(keys) == len(set(keys))

    @invariant()
    def in_order(self):
        for key in KEYS:
            mine = [seq for seq in self.done if self.log[seq][1] == key]
            assert mine == sorted(mine)

    @invariant()
    def nobody_is_lost(self):
        known = {*self.done, *self.sending, *self.held, *self.rows}
        assert known >= set(range(self.scan))
        assert len(self.serials) == len(self.held)

    def teardown(self):
        if not hasattr(self, "log"):
            return
        for _ in range(10 * len(self.log) + 10):
            self.read_the_log()
            in_hand = self.sending.keys() | self.held.keys()
            for seq, key in sorted(self.rows.items()):
                if seq not in in_hand and (key is None or not any(k == key and s < seq for s, k in self.rows.items())):
                    self._take(claim(seq, key, due=True))
                    break
            for seq in list(self.sending):
                one = self.sending.pop(seq)
                self.rows.pop(seq, None)
                self.done.append(seq)
                for other in self.serials.finish(one, waits=False)[0]:
                    self.sending[other.seq] = self.held.pop(other.seq)
        assert sorted(self.done) == list(range(len(self.log)))
        self.in_order()


OneLane.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestOneLane = OneLane.TestCase
