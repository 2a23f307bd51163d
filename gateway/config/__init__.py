"""gateway.toml and the environment → frozen `Settings`. The only reader of secrets.

`read` parses the file and puts the environment in; then the plugins can be loaded, since `Document.plugins_dir` is
known; `settings` checks the document against the schema and the plugins and gives it shape. `load` does all three.
"""

from gateway.config.cookies import BrowserCookies
from gateway.config.loading import CONFIG_SCHEMA, load, settings
from gateway.config.reading import Document, read
from gateway.config.segment import Segment, plain
from gateway.config.settings import (
    REDACTED,
    ConsentSettings,
    Instance,
    Network,
    OutboxSettings,
    Privacy,
    Secrets,
    Server,
    Settings,
    Source,
    changes_needing_restart,
)
from gateway.config.tables import EXAMPLE_KEYS

__all__ = [
    "CONFIG_SCHEMA",
    "EXAMPLE_KEYS",
    "REDACTED",
    "BrowserCookies",
    "ConsentSettings",
    "Document",
    "Instance",
    "Network",
    "OutboxSettings",
    "Privacy",
    "Secrets",
    "Segment",
    "Server",
    "Settings",
    "Source",
    "changes_needing_restart",
    "load",
    "plain",
    "read",
    "settings",
]
