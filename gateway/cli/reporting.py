"""How `gateway consent report` prints on a terminal."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.cli import show
from gateway.insight.report_page import share

if TYPE_CHECKING:
    from gateway.insight.report import Line, Report

#: Codes told of each line; the page and the JSON have all, with the rules in words.
CODES = 5


def printed(found: Report) -> None:
    """Print a report for people."""
    out = show.console()
    show.line(out, f"Consent, {_when(found.since)} to {_when(found.until)} UTC", "bold")
    strings = f"{found.unreadable_strings} of {found.with_strings} events with strings"
    rows = [
        ("events", str(found.events)),
        ("without any signal", f"{found.without_signal} ({share(found.without_signal, found.events)})"),
        ("unusable strings", f"{strings} ({share(found.unreadable_strings, found.with_strings)})"),
    ]
    if found.withdrawn:
        rows.append(("consent taken back", str(found.withdrawn)))
    if found.withdrawals or found.grants or found.erasures:
        asked = f"consent taken back {found.withdrawals}, given again {found.grants}, erasure {found.erasures}"
        rows.append(("asked for by people", asked))
    if found.ledger_since is None or found.ledger_since > found.since:
        begins = "is empty" if found.ledger_since is None else f"begins on {_when(found.ledger_since)}"
        rows.append(("note", f"the ledger {begins}: what was before is not in here"))
    show.pairs(out, rows)
    if found.lines:
        out.print()
        heads = ("region", "source", "destination", "sent", "limited", "held", "other", "stopped", "released", "why")
        show.table(out, heads, _lines(found), title=3)
    if found.unreadable:
        out.print()
        show.line(out, "Strings that could not be used, by consent platform (CMP)", "bold")
        show.table(out, ("CMP", "events", "why"), ((one.cmp, one.count, _why(one.reasons)) for one in found.unreadable))


def _lines(found: Report) -> list[tuple[object, ...]]:
    return [
        (
            *(one.region, one.source, one.destination),
            *(one.sent, one.limited, one.held, one.other, one.stopped, one.released),
            "; ".join(f"{code} {count}" for code, count in _codes(one)),
        )
        for one in found.lines
    ]


def _codes(line: Line) -> list[tuple[str, int]]:
    counted: Counter[str] = Counter()
    for one in line.rules:
        counted[one.code] += one.count
    return counted.most_common(CODES)


def _why(reasons: dict[str, int]) -> str:
    return "; ".join(f"{why} ({count})" for why, count in sorted(reasons.items(), key=lambda one: -one[1]))


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
