"""The consent report as one page of HTML: for a data protection officer, on a screen or on paper. It loads nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from gateway.insight.report import HELD, LIMITED, OTHER, SENT, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.insight.report import Line, Report

#: The gate's codes in an officer's words.
WORDS = {
    "consent_granted": "Consent was required, and everything that the destination needs was granted",
    "no_opt_out": "No consent is required there, and the visitor did not object",
    "consent_missing": "Consent was required, and was not given",
    "consent_denied": "The visitor refused consent",
    "consent_string_unread": "The consent string could not be used, which counts as a refusal",
    "consent_withdrawn": "The person had taken consent back",
    "known_child": "The visitor is known to be a child",
    "gpc": "The browser sent Global Privacy Control",
    "gpp_opt_out": "The visitor opted out of sale, sharing or targeted advertising",
    "opted_out": "The visitor objected, where no consent is required",
    "not_routed": "The site itself left the destination out",
    "event_not_mapped": "The destination does not take events of this kind",
    "too_old": "The event was too old for the destination",
    "test": "A test event",
}
_OUTCOME = {SENT: "sent", LIMITED: "sent,\u00a0limited", HELD: "held\u00a0back", OTHER: "not for consent's sake"}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 62rem; margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p { margin: .4rem 0; max-width: 46rem; } .dim { color: #5b6675; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
dl div { border: 1px solid #d5dbe3; border-radius: 6px; padding: .6rem .8rem; }
dt { color: #5b6675; font-size: .85rem; } dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
dd small { font-size: .85rem; color: #5b6675; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; font-size: .92rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #e2e7ed; vertical-align: top; }
th { font-weight: 600; border-bottom-color: #9aa5b3; }
tr { break-inside: avoid; } thead { display: table-header-group; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; } code { font-size: .85em; }
.hash { overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; font-size: 10.5pt; } h2 { break-after: avoid; } }
"""


def page(found: Report, made_at: float) -> str:
    """The page. `made_at`: Unix seconds."""
    parts = [
        "<h1>Consent report</h1>",
        _p(f"{_when(found.since)} to {_when(found.until)} (UTC). Made {_when(made_at)}.", "dim"),
        *_begin(found),
        _figures(found),
        *_withdrawn(found),
        *_by_destination(found),
        *_by_rule(found),
        *_unreadable(found),
        *_policies(found),
        *_source(found),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(parts)
    title = f"<title>Consent report, {_day(found.since)} to {_day(found.until)}</title>"
    head += f"{title}<style>{_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def share(part: int, whole: int) -> str:
    """A part in percent; what is not nothing is never told as nothing."""
    if not part:
        return "0 %"
    percent = 100 * part / whole
    return "< 0.1 %" if percent < 0.1 else "> 99.9 %" if part < whole and percent > 99.9 else f"{percent:.1f} %"


def _begin(found: Report) -> list[str]:
    if found.ledger_since is None:
        return [_p("The ledger is empty: nothing was decided yet.")]
    if found.ledger_since > found.since:
        return [_p(f"The ledger begins on {_when(found.ledger_since)}: what was before is not in this report.")]
    return []


def _figures(found: Report) -> str:
    totals = {name: sum(getattr(line, name) for line in found.lines) for name in (SENT, LIMITED, HELD)}
    asked = sum(totals.values())
    figures = [
        ("Events received", _number(found.events), ""),
        ("Without any signal", share(found.without_signal, found.events), _number(found.without_signal)),
        ("Unusable strings", share(found.unreadable_strings, found.with_strings), _number(found.unreadable_strings)),
        ("Sent", share(totals[SENT], asked), _number(totals[SENT])),
        ("Sent, limited", share(totals[LIMITED], asked), _number(totals[LIMITED])),
        ("Held back", share(totals[HELD], asked), _number(totals[HELD])),
    ]
    boxes = (
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)} <small>{more}</small></dd></div>"
        for name, value, more in figures
    )
    return f"<dl>{''.join(boxes)}</dl>"


def _withdrawn(found: Report) -> list[str]:
    asked = (
        ("consent taken back", found.withdrawals),
        ("consent given again", found.grants),
        ("erasure", found.erasures),
    )
    words = ", ".join(f"{what} {_number(count)}" for what, count in asked if count)
    parts = [_p(f"Asked for by people outside of events: {words}.")] if words else []
    if found.withdrawn:
        parts.append(_p(f"Events of people who had taken consent back before: {_number(found.withdrawn)}."))
    return parts


def _by_destination(found: Report) -> list[str]:
    words = (
        "One event has a decision for each destination, made when it came in. Sent: it was let go; whether it then "
        "arrived, `gateway events` tells. Held back: consent did not allow it. Other: not sent for "
        "another reason, such as an event of a kind that the destination does not take. Stopped later: the decision "
        "was to send, and consent was taken back, or the rules changed, before it was sent. Let go later: it was held "
        "back, and a later copy of the event brought consent."
    )
    heads = (
        "Region",
        "Source",
        "Destination",
        "Sent",
        "Limited",
        "Held back",
        "Other",
        "Stopped later",
        "Let go later",
    )
    rows = [
        (
            one.region,
            one.source,
            one.destination,
            *map(_number, _counts(one)),
            _number(one.stopped),
            _number(one.released),
        )
        for one in found.lines
    ]
    return ["<h2>By region, source and destination</h2>", _p(words, "dim"), _table(heads, rows, 3)]


def _counts(line: Line) -> tuple[int, int, int, int]:
    return line.sent, line.limited, line.held, line.other


def _by_rule(found: Report) -> list[str]:
    counted: Counter[tuple[str, str, str, str]] = Counter()
    for line in found.lines:
        for one in line.rules:
            if one.outcome != OTHER:
                counted[line.region, one.outcome, one.code, one.rule] += one.count
    order = (SENT, LIMITED, HELD)
    ranked = sorted(counted.items(), key=lambda one: (one[0][0], order.index(one[0][1]), -one[1], one[0]))
    rows = [
        (region, _OUTCOME[outcome], f"{WORDS.get(code, code)}.", f"{code}: {rule}", _number(count))
        for (region, outcome, code, rule), count in ranked
    ]
    heads = ("Region", "Decision", "Why", "Rule, as it was applied", "Decisions")
    return ["<h2>By rule</h2>", _p("For all sources and destinations together.", "dim"), _table(heads, rows, 4)]


def _unreadable(found: Report) -> list[str]:
    words = (
        "By the consent platform (CMP) that made the string: its id in the IAB's list of CMPs. A string that cannot be "
        "used counts as a refusal, so a platform with many of them costs conversions and may be set up wrongly."
    )
    if not found.unreadable:
        return ["<h2>Consent strings that could not be used</h2>", _p("None.")]
    rows = [
        (
            "cannot be told" if one.cmp == UNKNOWN else one.cmp,
            "; ".join(f"{why} ({_number(count)})" for why, count in _most(one.reasons)),
            _number(one.count),
        )
        for one in found.unreadable
    ]
    heads = ("CMP", "Why", "Events")
    return ["<h2>Consent strings that could not be used</h2>", _p(words, "dim"), _table(heads, rows, 2)]


def _most(reasons: dict[str, int]) -> Iterable[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda one: (-one[1], one[0]))


def _policies(found: Report) -> list[str]:
    words = "Each set of rules (regions, what destinations require) has a hash, which stands with every decision."
    rows = [(one.policy, _when(one.first_at), _when(one.last_at), _number(one.events)) for one in found.policies]
    heads = ("Policy", "First decision", "Last decision", "Events")
    return ["<h2>Rules in force</h2>", _p(words, "dim"), _table(heads, rows, 3)]


def _source(found: Report) -> list[str]:
    if found.ledger_since is None:
        return []
    return [
        "<h2>Where these figures come from</h2>",
        _p(
            "They are counted from the consent ledger, which is chained by hashes so that later changes show. It ended "
            f"with row {found.head}, whose hash is:"
        ),
        f'<p class="hash"><code>{escape(found.head_hash)}</code></p>',
        "<p><code>gateway ledger verify</code> checks the whole ledger, <code>gateway prove</code> a single event. "
        "No personal data is in the ledger or in this report.</p>",
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int) -> str:
    """A table whose columns from `numbers_from` on are numbers."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="n">{escape(text)}</{tag}>' if at >= numbers_from else f"<{tag}>{escape(text)}</{tag}>"
            for at, text in enumerate(texts)
        )

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    if not body:
        return _p("Nothing in this period.")
    return f"<table><thead><tr>{cells('th', heads)}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _p(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
