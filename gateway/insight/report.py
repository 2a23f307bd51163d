"""What the consent gate has done over a period, counted from the consent ledger alone: it holds nobody's data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.outbox import ledger
from gateway.outbox.ledger import CANCELLED, INTAKE, REOPENED, TAKEN
from gateway.privacy.consent import PURPOSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.outbox.engine import Connection
    from gateway.outbox.ledger import Row

#: Instead of a region that nobody knew, and of a consent platform that an unreadable string does not tell.
UNKNOWN = "unknown"
#: What became of an event at one destination, as the report calls it.
SENT, LIMITED, HELD, OTHER = "sent", "limited", "held", "other"
#: Kinds of the ledger's rows → where they are counted.
_ASKED = {"withdrawal": "withdrawals", "grant": "grants", "erasure": "erasures"}
_OUTCOMES = {"send": SENT, "send_limited": LIMITED}


@dataclass(slots=True)
class Rule:
    """One answer of the gate, and how often it was given."""

    #: `sent`, `limited`, `held`, or `other`: not for consent's sake.
    outcome: str
    #: docs/codes.md tells it.
    code: str
    #: In words.
    rule: str
    count: int


@dataclass(slots=True)
class Line:
    """Events of one region, one source and one destination: what was decided when they came in, and later."""

    #: `unknown` where nobody knew it.
    region: str
    source: str
    destination: str
    sent: int = 0
    limited: int = 0
    held: int = 0
    other: int = 0
    #: Of the sent and limited: stopped later for want of consent, less those that the platform took all the same.
    stopped: int = 0
    #: Of the held: let go later, when a copy of the event brought consent.
    released: int = 0
    #: The most frequent first.
    rules: list[Rule] = field(default_factory=list)

    @property
    def events(self) -> int:
        """All of them."""
        return self.sent + self.limited + self.held + self.other


@dataclass(slots=True)
class Unreadable:
    """Events with a consent string that could not be used, by the consent platform that made it."""

    #: Its id in the IAB's list, or `unknown`.
    cmp: str
    count: int
    #: Why, in words → how often.
    reasons: dict[str, int]


@dataclass(slots=True)
class Version:
    """A policy that was decided by."""

    #: The hash of the rules.
    policy: str
    events: int
    #: Unix seconds of the first and the last event that it decided.
    first_at: float
    last_at: float


@dataclass(slots=True)
class Report:
    """The report."""

    #: Unix seconds. `until` is the first moment that is not in it.
    since: float
    until: float
    #: When the ledger begins; `None` when there is nothing in it. What was before is not in the report.
    ledger_since: float | None
    #: Where the ledger ended: number and hash of its last row.
    head: int
    head_hash: str
    events: int = 0
    #: Events without a flag, an opt-out or a consent string.
    without_signal: int = 0
    #: Events with consent strings, and of these with one that could not be used.
    with_strings: int = 0
    unreadable_strings: int = 0
    #: Events of people who had taken consent back.
    withdrawn: int = 0
    #: What people asked for outside of events: consent taken back, given again, their erasure.
    withdrawals: int = 0
    grants: int = 0
    erasures: int = 0
    lines: list[Line] = field(default_factory=list)
    #: The most frequent first.
    unreadable: list[Unreadable] = field(default_factory=list)
    policies: list[Version] = field(default_factory=list)


def report(db: Connection, since: float, until: float) -> Report:
    """Count what was decided from `since` on and before `until` (Unix seconds). Raises `OutboxError`."""
    with ledger.one_moment(db), ledger.as_written():
        head = ledger.head(db)
        found = Report(since, until, ledger.begins_at(db), head.id, head.hash.hex())
        _Count(db, found).run()
    return found


class _Count:
    def __init__(self, db: Connection, found: Report) -> None:
        self._db = db
        self._found = found
        self._rulings = {key: msgspec.json.decode(data) for key, data in ledger.rulings(db).items()}
        self._lines: dict[tuple[str, str, str], Line] = {}
        self._rules: dict[tuple[str, str, str], Counter[tuple[str, str, str]]] = {}
        #: How often each ruling was given.
        self._given: Counter[bytes] = Counter()
        self._policies: dict[str, Version] = {}
        #: Number → the ruling that held last, of events that were decided anew.
        self._anew: dict[int, Mapping[str, Any]] = {}

    def run(self) -> None:
        found = self._found
        for row in ledger.rows_between(self._db, found.since, found.until):
            if row.kind == INTAKE:
                self._group(row)
            elif row.kind == REOPENED:
                self._reopened(row)
            elif row.kind in (CANCELLED, TAKEN):
                self._later(row)
            elif row.kind in _ASKED:
                setattr(found, _ASKED[row.kind], getattr(found, _ASKED[row.kind]) + 1)
        for key, count in self._given.items():
            self._ruling(self._rulings.get(key, {}), count)
        for at, line in self._lines.items():
            counted = self._rules.get(at, Counter()).most_common()
            line.rules = [Rule(*rule, count) for rule, count in counted]
        found.lines = [self._lines[at] for at in sorted(self._lines)]
        found.policies = sorted(self._policies.values(), key=lambda one: one.first_at)
        found.unreadable.sort(key=lambda one: (-one.count, one.cmp))

    def _group(self, row: Row) -> None:
        tally = ledger.tally(row)
        self._given.update(tally)
        for key, count in tally.items():
            policy = self._rulings.get(key, {}).get("policy", "")
            version = self._policies.setdefault(policy, Version(policy, 0, row.at, row.at))
            version.events += count
            version.last_at = row.at

    def _ruling(self, ruling: Mapping[str, Any], count: int) -> None:
        self._signals(ruling.get("signals", {}), count)
        for name, (outcome, reason, detail, rule) in ruling.get("to", {}).items():
            at = _place(ruling, name)
            line = self._line(at)
            became = _became(outcome, reason)
            setattr(line, became, getattr(line, became) + count)
            self._rules.setdefault(at, Counter())[became, detail or reason, rule] += count

    def _signals(self, signals: Mapping[str, Any], count: int) -> None:
        found, strings = self._found, signals.get("strings")
        found.events += count
        found.without_signal += 0 if strings or any(name in signals for name in (*PURPOSES, "gpc")) else count
        found.withdrawn += count if signals.get("withdrawn") else 0
        if strings:
            found.with_strings += count
            if unread := strings.get("unread"):
                found.unreadable_strings += count
                self._unread(str(strings.get("cmp", UNKNOWN)), unread, count)

    def _unread(self, cmp: str, why: str, count: int) -> None:
        known = next((one for one in self._found.unreadable if one.cmp == cmp), None)
        if known is None:
            known = Unreadable(cmp, 0, {})
            self._found.unreadable.append(known)
        known.count += count
        known.reasons[why] = known.reasons.get(why, 0) + count

    def _reopened(self, row: Row) -> None:
        (entry,) = ledger.unpacked(row)
        before, after = self._ruling_of(entry.seq), self._rulings.get(entry.ruling, {})
        self._anew[entry.seq] = after
        for name, (outcome, reason, *_) in after.get("to", {}).items():
            was = before.get("to", {}).get(name, ("", ""))
            if _became(*was[:2]) == HELD and outcome in _OUTCOMES:
                self._line(_place(before, name)).released += 1
            elif was[0] in _OUTCOMES and _became(outcome, reason) == HELD:
                self._line(_place(before, name)).stopped += 1

    def _later(self, row: Row) -> None:
        name = msgspec.json.decode(row.entries)["to"]
        for seq in ledger.seqs_of(row):
            if ruling := self._ruling_of(seq):
                self._line(_place(ruling, name)).stopped += 1 if row.kind == CANCELLED else -1

    def _ruling_of(self, seq: int) -> Mapping[str, Any]:
        """What held of an event; empty when its row is no longer kept."""
        if seq in self._anew:
            return self._anew[seq]
        row = ledger.row_of(self._db, seq)
        return self._rulings.get(ledger.unpacked(row)[seq - row.first_seq].ruling, {}) if row is not None else {}

    def _line(self, at: tuple[str, str, str]) -> Line:
        return self._lines.setdefault(at, Line(*at))


def _place(ruling: Mapping[str, Any], destination: str) -> tuple[str, str, str]:
    return ruling.get("signals", {}).get("region", UNKNOWN), ruling.get("source", ""), destination


def _became(outcome: str, reason: str) -> str:
    return HELD if (outcome, reason) == ("skipped", "consent") else _OUTCOMES.get(outcome, OTHER)
