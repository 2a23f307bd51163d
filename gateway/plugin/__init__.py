"""What the author of a destination imports.

    from gateway.plugin import Bearer, Destination, Field, Limits, Request, Retry, apply, hookimpl, verdicts

The guide is `plugins/README.md`.
"""

from gateway.model.delivery import Skip, Verdict
from gateway.model.event import Consent, Event
from gateway.plugin import convert, verdicts
from gateway.plugin.auth import Bearer, Header, OAuth, Proof, Query, Signature
from gateway.plugin.destination import (
    INTERFACE_VERSION,
    Batch,
    Destination,
    FollowUp,
    Limits,
    Request,
    Response,
    Retry,
)
from gateway.plugin.hookspecs import hookimpl
from gateway.plugin.mapping import Field, apply

__all__ = [
    "INTERFACE_VERSION",
    "Batch",
    "Bearer",
    "Consent",
    "Destination",
    "Event",
    "Field",
    "FollowUp",
    "Header",
    "Limits",
    "OAuth",
    "Proof",
    "Query",
    "Request",
    "Response",
    "Retry",
    "Signature",
    "Skip",
    "Verdict",
    "apply",
    "convert",
    "hookimpl",
    "verdicts",
]
