"""The exceptions, sorted by what happens next.

GatewayError
├─ ConfigError          the start stops: file, key, what was found, what is allowed
├─ PluginError
│  ├─ PluginLoadError   the start stops: names the file or the package
│  └─ PluginBug         one delivery becomes a dead letter
├─ EventInvalid         answered 422, a JSON pointer for each fault; nothing stored
├─ OutboxError          answered 503; the caller may send again
│  ├─ OutboxBusy        too much is waiting to be written: 429
│  ├─ OutboxFull        no space on the disk: 503, heals by itself
│  └─ OutboxFailed      the disk failed: 503, then exit 74
└─ TransportError       timeout, refused connection, TLS: becomes a retry verdict
"""

from __future__ import annotations

from dataclasses import dataclass


class GatewayError(Exception):
    """The root: catch this to catch everything that the gateway raises on purpose."""


class ConfigError(GatewayError):
    """The configuration cannot be used. The message names file, key, what was found and what is allowed."""


class PluginError(GatewayError):
    """A plugin is at fault."""


class PluginLoadError(PluginError):
    """A plugin could not be loaded. Raised at start, names the file or the package."""


class PluginBug(PluginError):
    """A plugin's function raised or returned what it may not. Costs one delivery."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with (or worth a warning about) an event. Never holds the offending value."""

    #: JSON pointer into the event: `/user_data/email`.
    path: str
    #: Stable code: see docs/codes.md.
    code: str
    message: str


class EventInvalid(GatewayError):
    """An event is refused."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(", ".join(f"{fault.path or '/'} {fault.code}" for fault in faults))
        self.faults = faults


class OutboxError(GatewayError):
    """The outbox could not store something. Nothing of the group was kept."""


class OutboxBusy(OutboxError):
    """More is waiting to be written than memory should hold."""


class OutboxFull(OutboxError):
    """The disk is full. Deliveries go on; storing works again once there is space."""


class OutboxFailed(OutboxError):
    """The disk failed a write or a sync. It is never tried again: the process must end and recover."""


class TransportError(GatewayError):
    """A request did not get an answer."""

    def __init__(self, reason: str, message: str, *, sent: bool) -> None:
        super().__init__(message)
        #: Stable code: `timeout`, `connect`, `tls`, `protocol`, `invalid_url`, `address_refused`,
        #: `plain_http_refused`.
        self.reason = reason
        #: Whether the platform may have received the request.
        self.sent = sent
