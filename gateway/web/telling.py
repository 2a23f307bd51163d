"""What the log says of requests: each has an id, and what goes wrong with many is told once a minute."""

from __future__ import annotations

import itertools
import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any

from gateway.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.types import Scope

#: Key of the scope: the request's id, which stands in its answer and in each line about it.
REQUEST_ID = "gateway.request_id"
#: At most one line of a name, code and source in so many seconds; it counts the others.
TELL_EVERY_S = 60.0
#: Different codes and sources that are told apart; past them the oldest are forgotten, as there are few of both.
TOLD_APART = 200
#: Event ids in one line.
IDS = 20

#: What a path begins with that has a key in it.
PROJECTS = "/v1/projects/"

_GIVEN = re.compile(rb"[A-Za-z0-9._=+/-]{1,64}")
_numbers = itertools.count(1)
_prefix = os.urandom(4).hex()

log = get_logger("web")


def request_id(scope: Scope) -> str:
    """The request's id: what `X-Request-Id` says, where a proxy has given one, or one of ours."""
    found: str | None = scope.get(REQUEST_ID)
    if found is None:
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        found = given.decode() if _GIVEN.fullmatch(given) else f"{_prefix}{os.getpid():x}-{next(_numbers):x}"
        scope[REQUEST_ID] = found
    return found


def path_of(scope: Scope) -> str:
    """The request's path as the log may have it: an SDK asks for its settings with the key in the address."""
    path: str = scope["path"]
    return f"{PROJECTS}…" if path.startswith(PROJECTS) else path


class Seldom:
    """Tells of what may happen to any number of requests, not more often than an operator would want to hear."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds; it never goes back."""
        self._clock = clock
        #: What is told → how often since the last line, and until when there is none.
        self._told: dict[tuple[str, str, str], tuple[int, float]] = {}

    def count(self, name: str, code: str, source: str = "") -> int:
        """Count one. Returns how many there were since the last line if it is time for another, else 0."""
        key, now = (name, code, source), self._clock()
        count, quiet_until = self._told.pop(key, (0, 0.0))
        count += 1
        due = now >= quiet_until
        self._told[key] = (0, now + TELL_EVERY_S) if due else (count, quiet_until)
        if len(self._told) > TOLD_APART:
            del self._told[next(iter(self._told))]
        return count if due else 0


def tell_taken(scope: Scope, source: str, door: str, results: Sequence[Mapping[str, Any]], duration_s: float) -> None:
    """At the level `debug`: which events a request has brought."""
    ids = [one["event_id"] for one in results if "event_id" in one]
    log.debug(
        "events_taken",
        request_id=request_id(scope),
        source=source,
        door=door,
        size=len(results),
        event_ids=ids[:IDS],
        duration_s=round(duration_s, 6),
    )


def tells_all() -> bool:
    """Whether the log is to say something of each request. Asked once: it costs as much as a small stage."""
    found: bool = log.is_enabled_for(logging.DEBUG)
    return found
