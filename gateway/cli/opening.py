"""What a command needs opened: the configuration, the outbox to read, the outbox to change."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config import Settings
    from gateway.outbox import Outbox
    from gateway.outbox.engine import Connection
    from gateway.registry import Registry


def load(path: Path) -> tuple[Settings, Registry]:
    """The configuration and the plugins it was read with. Raises `ConfigError` or `PluginLoadError`."""
    from gateway import config, log, registry

    log.configure(level=logging.WARNING)
    document = config.read(path, os.environ)
    found = registry.load(document.plugins_dir)
    return config.settings(document, found.destinations), found


@contextlib.contextmanager
def reading(path: Path) -> Iterator[tuple[Settings, Connection]]:
    """The configuration and a connection that can only read. Raises `OutboxError` when there is no outbox yet."""
    from gateway.outbox import queries

    settings, _ = load(path)
    with queries.reading(settings.outbox.path) as db:
        yield settings, db


def check_name(settings: Settings, db: Connection, name: str | None) -> None:
    """Raises `ConfigError` for a destination that is not configured and never was, as far as the outbox knows."""
    from gateway.model.errors import ConfigError
    from gateway.outbox import standing

    known = dict.fromkeys((*settings.destinations, *standing.lane_rows(db)))
    if name is not None and name not in known:
        raise ConfigError(f"there is no destination {name!r}; there are: {', '.join(known) or 'none'}")


@contextlib.contextmanager
def writing(settings: Settings) -> Iterator[Outbox]:
    """The outbox, running, beside a gateway that may be running too."""
    from gateway.outbox import Outbox

    outbox = Outbox(settings.outbox.path, dedup_window_s=settings.outbox.dedup_window_s)
    outbox.start()
    try:
        yield outbox
    finally:
        outbox.close()
