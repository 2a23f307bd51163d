"""What the browser snippet sends around its events: `{"sent_at", "pending", "cookies", "landing", "events"}`.

Whatever is not as the snippet writes it counts as absent: an event is worth more than what stands around it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What may stand beside `events`; the key of the door is taken out before.
AROUND = frozenset(("sent_at", "pending", "cookies", "landing"))

#: Seconds that a visitor's clock may be wrong before times are set right by it.
SKEW_S = 60.0
#: Characters of a URL that the schema takes, and of click ids looked at.
LONGEST_URL, LONGEST_QUERY = 4096, 4096
_URLS = ("event_source_url", "referrer_url")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the snippet tells of its page."""

    #: When it was sent, by the visitor's clock, in Unix seconds; `None` if it does not say.
    sent_at: float | None = None
    #: The visitor has not answered yet: what is denied is a default.
    pending: bool = False
    #: Cookies of the page, as a header would have them.
    cookies: str = ""
    #: The click ids that the visit came with, as a query, and when, by the visitor's clock.
    landing: str = ""
    landed_at: float | None = None

    def skew_s(self, now: float) -> float:
        """How far the visitor's clock is behind, in seconds; 0 where it is near enough."""
        if self.sent_at is None or abs(now - self.sent_at) <= SKEW_S:
            return 0.0
        return now - self.sent_at


def unwrap(body: Mapping[str, Any]) -> tuple[Envelope | None, Any] | None:
    """The envelope and its events; `None` instead of one for a bare `{"events": […]}`.

    `None` for both if the body is an event itself.
    """
    if not isinstance(body.get("events"), list) or not body.keys() <= AROUND | {"events"}:
        return None
    return (_envelope(body) if "sent_at" in body else None), body["events"]


def straight(events: Sequence[Any], envelope: Envelope, now: float, language: str | None = None) -> list[Any]:
    """The events with their times as our clock has them, with URLs no longer than an event may have, and with what the
    browser asks for as language.
    """
    skew_s = envelope.skew_s(now)
    return [_straight(event, skew_s, language) if isinstance(event, dict) else event for event in events]


def spoken(header: str) -> str | None:
    """The first tag of an `Accept-Language`; `None` where it is none."""
    found = header.partition(",")[0].partition(";")[0].strip()
    return found if _LANGUAGE.fullmatch(found) else None


def _straight(event: Mapping[str, Any], skew_s: float, language: str | None) -> dict[str, Any]:
    found = dict(event)
    if language is not None and isinstance(said := event.get("user_data", {}), dict):
        found["user_data"] = {"language": language, **said}
    at = _seconds(event.get("event_time"), 1.0)
    if skew_s and at is not None and at + skew_s > 0:
        found["event_time"] = round(at + skew_s, 3)
    for key in _URLS:
        if isinstance(url := event.get(key), str):
            found[key] = url[:LONGEST_URL]
            if not url:
                del found[key]
    return found


def _envelope(body: Mapping[str, Any]) -> Envelope:
    landing = body.get("landing")
    landing = landing if isinstance(landing, dict) else {}
    query, cookies = landing.get("query"), body.get("cookies")
    return Envelope(
        sent_at=_seconds(body["sent_at"], 1000.0),
        pending=body.get("pending") is True,
        cookies=cookies if isinstance(cookies, str) else "",
        landing=query[:LONGEST_QUERY] if isinstance(query, str) else "",
        landed_at=_seconds(landing.get("at"), 1000.0),
    )


def _seconds(value: Any, unit: float) -> float | None:
    """A time in units of a second as Unix seconds, if it can be one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e14:
        return None
    return value / unit
