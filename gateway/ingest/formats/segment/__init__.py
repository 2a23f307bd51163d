"""Calls of the Segment tracking API, as Segment's and RudderStack's SDKs make them, as canonical events. Pure.

The specification: https://segment.com/docs/connections/spec/, of which `…/` in this folder is short, and
https://www.rudderstack.com/docs/event-spec/ where RudderStack differs.
"""

from gateway.ingest.formats.segment.call import Kind, Read, read
from gateway.ingest.formats.segment.envelope import BATCH, BEACON, PATHS, Call, opened
from gateway.ingest.formats.segment.routing import Routes

__all__ = ["BATCH", "BEACON", "PATHS", "Call", "Kind", "Read", "Routes", "opened", "read"]
