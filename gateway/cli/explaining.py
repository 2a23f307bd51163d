"""How `gateway explain` and `gateway dead show` print an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gateway.insight.explain import Delivery, Explained
    from gateway.model.event import Joined
    from gateway.outbox.standing import AttemptRow


def printed(found: Sequence[Explained], now: float) -> None:
    """Print events for people."""
    out = show.console()
    for event in found:
        show.line(out, f"{event.event_name}, id {event.event_id} (number {event.seq})", "bold")
        show.pairs(out, _about(event, now))
        for name, delivery in event.destinations.items():
            _delivery(out, name, delivery, now)
        if not event.destinations:
            show.line(out, "owed to no destination: none was configured when it came", indent=2)


def _about(event: Explained, now: float) -> list[tuple[str, str]]:
    rows = [("received", f"{show.when(event.received_at, now)} from source {event.source}")]
    if event.unreadable:
        return [*rows, ("payload", f"cannot be read: {event.unreadable}")]
    if not event.payload_kept:
        return [*rows, ("payload", "not kept any more: its retention is over")]
    signals = ", ".join(f"{name} {_signal(value)}" for name, value in event.signals.items())
    return [
        *rows,
        ("happened", f"{show.when(event.event_time, now)}, {event.action_source}{', a test' if event.test else ''}"),
        ("consent", f"{signals or 'no signal'}; region that counts: {event.region or 'unknown'}"),
        *_joined(event, now),
    ]


def _joined(event: Explained, now: float) -> list[tuple[str, str]]:
    """What a visit told, by visit."""
    origins: dict[Joined, list[str]] = {}
    for path, origin in event.joined.items():
        origins.setdefault(origin, []).append(path)
    return [
        ("joined", f"{', '.join(paths)}: told {show.when(one.at, now)} through source {one.source}, found by {one.by}")
        for one, paths in origins.items()
    ]


def _signal(value: str | bool) -> str:
    return value if isinstance(value, str) else "on" if value else "off"


def _delivery(out: Console, name: str, delivery: Delivery, now: float) -> None:
    out.print()
    show.line(out, f"{name}: {delivery.state}", show.STYLES.get(delivery.state, ""), indent=2)
    rows = []
    if why := ": ".join(filter(None, (delivery.code, delivery.message))):
        rows.append(("said" if delivery.state in ("delivered", "received") else "why", why))
    if delivery.since is not None:
        rows.append(("since", show.when(delivery.since, now)))
    if delivery.next_at is not None:
        rows.append(("next try", _next(delivery, delivery.next_at, now)))
    if delivery.paused is not None:
        pause = delivery.paused
        told = ": ".join(filter(None, (pause.code, pause.message)))
        rows.append(("paused", f"the destination, since {show.when(pause.since, now)}: {told}"))
    gets = (("match keys", delivery.match_keys), ("fields", delivery.fields))
    listed = [(name, ", ".join(entries)) for name, entries in gets if entries]
    tried = [(f"attempt {number}", _attempt(one, now)) for number, one in enumerate(delivery.attempts, 1)]
    show.pairs(out, [*rows, *_consent(delivery), *listed, *tried], indent=4)


def _next(delivery: Delivery, at: float, now: float) -> str:
    """A time that is over is no next one: then it is for others to go on."""
    if delivery.paused is not None:
        return "when the destination is not paused any more"
    return show.when(at, now) if at > now else "due; when the dispatcher comes to it"


def _consent(delivery: Delivery) -> list[tuple[str, str]]:
    answer = delivery.consent
    rows = [("at the door", ", ".join(filter(None, (answer.outcome, answer.reason, answer.rule))))]
    for number, step in enumerate(answer.steps, 1):
        decided = f" → {step.answer}" if step.answer else ""
        rows.append((f"gate {number}", f"{step.question}: {step.found}{decided}"))
    return rows


def _attempt(attempt: AttemptRow, now: float) -> str:
    status = f"HTTP {attempt.status}" if attempt.status else "no answer"
    said = ": ".join(filter(None, (attempt.code, attempt.message)))
    words = f"{show.when(attempt.started_at, now)}, {attempt.duration_s:.2f} s, {status}, {attempt.verdict}"
    words += f" ({show.plural(attempt.size, 'event', 'events')} in the request)"
    if attempt.request_id:
        words += f", request {attempt.request_id}"
    if attempt.asked_next_at is not None:
        words += f", outcome asked for {show.when(attempt.asked_next_at, now)}"
    return f"{words}; {said}" if said else words
