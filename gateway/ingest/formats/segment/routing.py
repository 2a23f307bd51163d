"""`integrations` of a call: which destinations may have it. …/common/#integrations"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Instance, Segment

ALL = "all"


class Routes:
    """The names under which destinations are meant: their own, their plugins', and those that the operator gave."""

    __slots__ = ("_by_plugin", "_own")

    def __init__(self, instances: Mapping[str, Instance], segment: Segment) -> None:
        self._own: dict[str, list[str]] = {name: list(several) for name, several in segment.integrations.items()}
        self._by_plugin: dict[str, list[str]] = {}
        for name, instance in instances.items():
            self._own.setdefault(plain(name), []).append(name)
            self._by_plugin.setdefault(plain(instance.destination.name), []).append(name)

    def destinations(self, integrations: Any) -> dict[str, bool]:
        """The event's own routing. A name that nobody knows means a destination that is not here, and says nothing."""
        if not isinstance(integrations, dict):
            return {}
        wanted = {plain(name): value is not False for name, value in integrations.items() if value is not None}
        found: dict[str, bool] = {} if wanted.pop(ALL, True) else {"*": False}
        for names in (self._by_plugin, self._own):  # what names one goes before what names several
            for name, yes in wanted.items():
                found |= dict.fromkeys(names.get(name, ()), yes)
        return found
