"""The hooks. They register and observe; they do no work on an event's path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.delivery import Attempt
    from gateway.plugin.destination import Destination

#: Name of the entry point group and of the pluggy project.
PROJECT = "gateway.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_destinations() -> Sequence[Destination]:  # type: ignore[empty-body]
    """Return the destinations that this plugin brings. Called once, at start."""


@hookspec
def delivery_attempted(attempt: Attempt) -> None:
    """Called after each HTTP try has been judged and recorded, outside the path of the events.

    `attempt`: see `gateway.model.delivery.Attempt`. What it raises is logged and costs nothing else.
    """
