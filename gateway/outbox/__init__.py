"""Events and what is owed of them, on disk. The only place that speaks SQL."""

from gateway.outbox.append import Appended, Record
from gateway.outbox.sqlite import Outbox

__all__ = ["Appended", "Outbox", "Record"]
