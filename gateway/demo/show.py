"""The demo's report on the screen: tables for people, JSON for programs."""

from __future__ import annotations

import json
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.demo.report import shown
from gateway.model.delivery import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rich.console import RenderableType

    from gateway.demo.report import Report

#: Columns where nobody says how wide the output is, and the most that are used of a wide terminal. What is held back is
#: a table from the former on; in less it is told below one another.
PLAIN_WIDTH, WIDEST = 100, 130

#: Reason codes whose name alone is too long for a cell.
SHORT = {"event_not_mapped": "not mapped", "test": "dry run"}
#: The reason whose rule is worth a row for each event.
CONSENT = "consent"
#: Reasons that name event and platform, which stand beside it anyway.
GENERAL = {"event_not_mapped": "it does not take an event of this name"}

DIGEST = re.compile(r"[0-9a-f]{64}")
#: Characters of a long value that are shown, and entries of a list.
LONGEST, ENTRIES = 32, 2
#: Widths of the columns that hold the names of examples, platforms and reasons.
EXAMPLE, PLATFORM, REASON = 27, 12, 16

INTRO = (
    "One stream of events came in over HTTP. Each event was checked, gated by consent, hashed, stored and\n"
    "sent on, as in production; only the platforms were mocks, which refuse what the real ones refuse."
)
NEXT = (
    ("gateway init", "write a gateway.toml; fill in one platform"),
    ("gateway check", "say what is wrong with it"),
    ("gateway serve", "take events, and deliver them"),
)


def as_json(found: Report, keep: Path | None) -> None:
    """Print the report for a program. Its shape is told in docs/mocks.md."""
    print(json.dumps({**found, "folder": None if keep is None else str(keep)}, ensure_ascii=False, indent=2))


def for_people(found: Report, keep: Path | None, console: Console | None = None) -> None:
    """Print the report for people: without colours, and 100 columns wide, where the output is no terminal."""
    out = console or _console()
    out.print(INTRO, style="bold")
    for title, part in (
        ("What each platform received", _matrix(found, narrow=out.width < PLAIN_WIDTH)),
        ("One purchase, as each platform received it (digests and long values are cut short)", _payloads(found)),
        ("Held back, and why", _held_back(found) if out.width >= PLAIN_WIDTH else _held_back_below(found)),
        ("What else happened", _incidents(found)),
        ("Totals", _totals(found)),
        ("Next", _next()),
    ):
        out.print()
        out.rule(Text(title, style="bold"), align="left", style="dim")
        out.print(part)
    if keep is not None:  # on one line however long, to be copied
        command = f"cd {shlex.quote(str(keep))}; gateway explain {found['events'][0]['event_id']}"
        out.print(Text(command, "bold cyan"), soft_wrap=True)


def _console() -> Console:
    width = min(Console().width, WIDEST) if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(width=width, highlight=False)


def _matrix(found: Report, *, narrow: bool) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0 if narrow else 1, 0, 0), pad_edge=False, expand=True)
    table.add_column("event", no_wrap=True, width=EXAMPLE)
    for name in found["platforms"]:
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1, min_width=len(name) if narrow else PLATFORM)
    for event in found["events"]:
        cells = [_cell(event["destinations"].get(name, {}), narrow=narrow) for name in found["platforms"]]
        table.add_row(event["example"], *cells)
    return table


def _cell(one: Mapping[str, Any], *, narrow: bool) -> Text:
    """Under which name it was delivered, or why not; in brief, only whether."""
    if one.get("state") == State.DELIVERED:
        if narrow:
            return Text("✓ test", "cyan") if one["test"] else Text("✓ sent", "green")
        return Text("✓ test mode", "cyan") if one["test"] else Text(f"✓ {one['as']}", "green")
    if one.get("state") in (State.SKIPPED, State.DRY_RUN):
        return Text("– held" if narrow else f"– {SHORT.get(one['code'], one['code'].replace('_', ' '))}", "yellow")
    return Text(f"✗ {one.get('state', 'not decided')}", "red")


def _payloads(found: Report) -> RenderableType:
    return Group(*(Panel(_payload(item), title=name, title_align="left") for name, item in shown(found).items()))


def _payload(item: Mapping[str, Any]) -> Table:
    """Plain values on one line, then an object a line."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column()
    plain = {key: value for key, value in item.items() if not isinstance(value, dict | list)}
    grid.add_row("", Text(_pairs(plain)))
    for key, value in item.items():
        if key not in plain:
            grid.add_row(key, Text(_pairs(value) if isinstance(value, dict) else brief(value)))
    return grid


def brief(value: Any) -> str:
    """A value in few characters."""
    if isinstance(value, dict):
        return "{" + _pairs(value) + "}"
    if isinstance(value, list):
        more = ["…"] if len(value) > ENTRIES else []
        return "[" + ", ".join([*map(brief, value[:ENTRIES]), *more]) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if DIGEST.fullmatch(value):
        return value[:8] + "…"
    return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"


def _pairs(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {brief(value)}" for key, value in table.items())


def _held_back(found: Report) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    for heading, width in (("reason", REASON), ("events", EXAMPLE), ("platforms", 2 * PLATFORM - 4), ("why", None)):
        table.add_column(heading, width=width)
    for (code, why, platforms), examples in _grouped(found).items():
        table.add_row(Text(code, "yellow"), "\n".join(examples), "\n".join(_two_a_line(platforms)), Text(why))
    return table


def _held_back_below(found: Report) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column()
    for (code, why, platforms), examples in _grouped(found).items():
        grid.add_row(Text("reason"), Text(code, "yellow"))
        for name, words in (("events", ", ".join(examples)), ("platforms", ", ".join(platforms)), ("why", why)):
            grid.add_row(name, Text(words))
        grid.add_row("", "")
    return grid


def _grouped(found: Report) -> dict[tuple[str, str, tuple[str, ...]], list[str]]:
    """Reason, why and platforms → the examples held back so. Consent comes first, what is plain last."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    ranks: dict[str, list[bool]] = {}
    for event in found["events"]:
        reasons: dict[tuple[str, str], list[str]] = {}
        for name, one in event["destinations"].items():
            if one["state"] in (State.SKIPPED, State.DRY_RUN):
                why = GENERAL.get(one["code"], one["reason"])
                code = one["detail"] if one["code"] == CONSENT else one["code"]
                ranks[code] = [one["code"] != CONSENT, code in GENERAL]
                reasons.setdefault((code, why), []).append(name)
        for (code, why), platforms in reasons.items():
            groups.setdefault((code, why, tuple(platforms)), []).append(event["example"])
    return dict(sorted(groups.items(), key=lambda group: ranks[group[0][0]]))


def _two_a_line(names: tuple[str, ...]) -> Iterator[str]:
    for index in range(0, len(names), 2):
        yield ", ".join(names[index : index + 2])


def _incidents(found: Report) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column()
    duplicate, refused = found["duplicate"], found["refused"]
    copy = f"{duplicate['example']} came a second time: {duplicate['http_status']}, {duplicate['status']}"
    grid.add_row("a duplicate", f"{copy}; sent to nobody again")
    faults = [f"{one['path']}: {one['message']}" for one in refused.get("errors", ())]
    grid.add_row("a refusal", "\n".join([f"an event with mistakes: {refused['http_status']}, nothing stored", *faults]))
    grid.add_row("an outage", _outage(found))
    return grid


def _outage(found: Report) -> str:
    name = found["outage"]
    failed = [one for one in found["platforms"][name]["attempts"] if one["status"] == 503]
    count = sum(one["events"] for one in failed)
    return f"{name} answered 503 to its first request; the events in it ({count}) were sent again later"


def _totals(found: Report) -> RenderableType:
    states = [one["state"] for event in found["events"] for one in event["destinations"].values()]
    held = states.count(State.SKIPPED) + states.count(State.DRY_RUN)
    requests = sum(len(platform["attempts"]) for platform in found["platforms"].values())
    events, platforms, delivered = len(found["events"]), len(found["platforms"]), states.count(State.DELIVERED)
    words = (
        f"{events} events, {platforms} platforms: {delivered} deliveries in {requests} requests, {held} held back; "
        f"{found['seconds']} s in all."
    )
    verdict = Text("Every platform received what it should, and nothing else.", "green")
    problems = [Text(f"✗ {problem}", "red") for problem in found["problems"]]
    return Group(Text(words), *(problems or [verdict]))


def _next() -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for command, about in NEXT:
        grid.add_row(Text(command, "bold cyan"), about)
    return grid
