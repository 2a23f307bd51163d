"""What a mock platform is: a pure answer to a request. Served on loopback by the demo and called directly by tests."""

from __future__ import annotations

import json as json_
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class MockRequest:
    """What the platform's server sees."""

    method: str
    #: Path without the prefix of `base_url` and without the query.
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    #: Names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def json(self) -> Any:
        """The body decoded, `None` if it is not JSON."""
        try:
            return json_.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class MockReply:
    """What the platform answers, and which items it counted as received."""

    status: int
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: The items that the platform would have taken as real, in its own words.
    accepted: tuple[Mapping[str, Any], ...] = ()
    #: The items that it took in its test mode.
    tested: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class MockPlatform:
    """One mock: `name` is the plugin's, `answer` is pure."""

    name: str
    #: `(request, now)` → reply; `now` in Unix seconds, for age limits.
    answer: Callable[[MockRequest, float], MockReply]
    #: The plugin's configuration keys with which the demo runs against this mock.
    config: Mapping[str, Any]
