"""How `gateway prove` and `gateway ledger verify` print what they found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.cli import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gateway.insight.proof import Checked, Flaw, Link, Proof

#: Rows of a chain that are printed at each end.
ENDS = 3
_KINDS = {
    "intake": "taken in",
    "reopened": "a copy of the event brought consent: decided anew",
    "cancelled": "a delivery was stopped for want of consent",
    "taken": "the platform took it all the same: its request was under way",
    "withdrawal": "the person took consent back",
    "erasure": "a person was erased",
    "restored": "the chain goes on from a backup",
}
HOLDS = (
    "It holds: this is what was decided. That the whole chain was not written anew, the head shows: "
    "compare it with one that was written down elsewhere."
)
_STRINGS = {
    "none": "none were given",
    "opened": "they open their commitment",
    "not kept": "committed to; no longer kept here, whoever has them can check them",
}


def as_value(found: Checked) -> dict[str, Any]:
    """For JSON."""
    return {"holds": found.holds, **msgspec.to_builtins(found)}


def checked(found: Checked) -> None:
    """Print what a check of the whole ledger found."""
    out = show.console()
    told = [
        ("chain", f"rows {found.base + 1} to {found.head}: {found.rows}" if found.rows else "no rows"),
        ("events", f"{found.entries} in it; {found.opened} still here and opened, {found.strings_opened} with strings"),
        ("rulings", str(found.rulings)),
        ("head", found.head_hash),
    ]
    if found.closed:
        told.append(("closed", f"{found.closed} payloads cannot be opened with the configured keys: not compared"))
    if found.base:
        told.insert(1, ("begins", f"behind row {found.base}: what was before is pruned, by retention"))
    if found.anchors or found.anchors_older:
        older = f", {found.anchors_older} from before the first row that is kept" if found.anchors_older else ""
        told.append(("anchors", f"{found.anchors} fit{older}"))
    show.pairs(out, told)
    _flaws(out, found.faults)
    if found.more_faults:
        show.line(out, f"… and {found.more_faults} more", "red", indent=2)
    _verdict(out, "The ledger holds." if found.holds else "The ledger does NOT hold.", holds=found.holds)


def proofs(found: Sequence[Proof], now: float) -> None:
    """Print proofs for people."""
    out = show.console()
    for one in found:
        show.line(out, f"{one.event_name}, id {one.event_id} (number {one.seq})", "bold")
        show.pairs(out, [("received", f"{show.when(one.received_at, now)} from source {one.source}"), *_opened(one)])
        if one.ruling:
            _ruling(out, one.ruling)
        for since in one.later:
            out.print()
            words = _KINDS.get(since.kind, since.kind)
            show.line(out, f"later, {show.when(since.at, now)}, row {since.row}: {words}", indent=2)
            if "to" in since.said and isinstance(since.said["to"], Mapping):
                _ruling(out, since.said)
            else:
                show.pairs(out, [(name, str(value)) for name, value in since.said.items()], indent=4)
        _chain(out, one.chain, now)
        _flaws(out, one.faults)
        words = HOLDS if one.holds else "It does NOT hold."
        _verdict(out, words, holds=one.holds)


def _opened(one: Proof) -> list[tuple[str, str]]:
    if one.row is None:
        return []
    return [
        ("ledger", f"row {one.row}"),
        ("salt", one.salt),
        ("event", f"{one.event_commitment} (name, id and time of receipt)"),
        ("strings", " ".join(filter(None, (one.strings_commitment, f"({_STRINGS[one.strings]})")))),
        ("ruling", one.ruling_hash),
    ]


def _ruling(out: Console, ruling: Mapping[str, Any]) -> None:
    signals = dict(ruling.get("signals", {}))
    strings = signals.pop("strings", None)
    told = [f"{name} {_word(value)}" for name, value in signals.items() if name != "region"]
    if strings:
        told.append("strings: " + ", ".join(f"{name} {_word(value)}" for name, value in strings.items()))
    rows = [
        ("signals", "; ".join(told) or "none"),
        ("region", signals.get("region", "unknown")),
        ("policy", ruling.get("policy") or "several: decided at two times"),
    ]
    for name, (outcome, *why) in ruling.get("to", {}).items():
        rows.append((name, f"{outcome}: {', '.join(filter(None, why))}"))
    show.pairs(out, rows, indent=4)


def _word(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _chain(out: Console, chain: Sequence[Link], now: float) -> None:
    if not chain:
        return
    out.print()
    show.line(out, f"The chain from its row to the head: {show.plural(len(chain), 'row', 'rows')}", indent=2)
    links = list(chain)
    for at, one in enumerate(links):
        if ENDS <= at < len(links) - ENDS and one.holds:
            if at == ENDS:
                show.line(out, f"… {len(links) - 2 * ENDS} rows between, each made again …", "dim", indent=4)
            continue
        words = f"{one.row}  {one.hash}  {one.kind}, {show.when(one.at, now)}{'' if one.holds else '  DOES NOT HOLD'}"
        show.line(out, words, "" if one.holds else "red", indent=4)


def _flaws(out: Console, flaws: Sequence[Flaw]) -> None:
    for one in flaws:
        where = [f"row {one.row}" if one.row is not None else "", f"event {one.seq}" if one.seq is not None else ""]
        show.line(out, f"{one.code} ({', '.join(filter(None, where)) or 'ledger'}): {one.message}", "red", indent=2)


def _verdict(out: Console, words: str, *, holds: bool) -> None:
    show.line(out, words, "green" if holds else "bold red")
