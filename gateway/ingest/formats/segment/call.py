"""One call → a canonical event, or what is to be remembered of a person; or the fault for which it is neither."""

from __future__ import annotations

from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config import plain
from gateway.ingest.decode import MAX_EVENT_VALUES, is_crowded
from gateway.ingest.enrich import ID_FROM, LONGEST_ID
from gateway.ingest.formats.rows import Making, Row
from gateway.ingest.formats.segment.commerce import EVENT_IDS, take_commerce
from gateway.ingest.formats.segment.consents import consent_of
from gateway.ingest.formats.segment.device import is_app, take_app, take_context
from gateway.ingest.formats.segment.moment import event_time
from gateway.ingest.formats.segment.names import CANCELLED, track_name, view_name
from gateway.ingest.formats.segment.people import NO_ADDRESS, flat, take_person, word, words
from gateway.ingest.misplaced import holds_email
from gateway.model.errors import Fault
from gateway.schema import fits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Segment
    from gateway.ingest.formats.segment.envelope import Call
    from gateway.ingest.formats.segment.routing import Routes

WEBSITE, APP = "website", "app"


class Kind(Enum):
    """What a call is to the gateway."""

    EVENT = "event"
    #: Something about a person, to be remembered.
    PERSON = "person"
    #: Nothing: the operator leaves it out, or there is nothing in it.
    NOTHING = "nothing"


class Read(NamedTuple):
    """One call, read."""

    kind: Kind
    #: A canonical event; of a person one without a name; a fault; `None` for nothing.
    event: dict[str, Any] | Fault | None = None
    #: What was left out, for people. No value is in it.
    notes: tuple[str, ...] = ()
    #: The call asks that no address be kept.
    no_address: bool = False


def read(call: Call, segment: Segment, routes: Routes, received_at: float) -> Read:
    """Read a call. `received_at`: Unix seconds."""
    if isinstance(call.type, Fault):
        return Read(Kind.EVENT, call.type)
    if is_crowded(call.message):  # before time is spent on it
        return Read(Kind.EVENT, Fault("", "too_many", f"expected at most {MAX_EVENT_VALUES} values in one call"))
    message, context = call.message, _object(call.message.get("context"))
    at = event_time(message, call.sent_at, received_at)
    if isinstance(at, Fault):
        return Read(Kind.EVENT, at)
    making = Making()
    if call.type in ("identify", "group", "alias"):
        kind = _person(making, call.type, message, context)
    else:
        name = _name(call.type, message, segment)
        if not isinstance(name, str):
            return Read(Kind.EVENT, name) if name is not None else Read(Kind.NOTHING)
        kind = Kind.EVENT
        _event(making, call.type, name, message, context, segment)
        if routed := routes.destinations(message.get("integrations")):
            making.event["destinations"] = routed
    if kind is Kind.NOTHING:
        return Read(kind)
    if at is not None:
        making.event["event_time"] = at
    if (consent := consent_of(context, segment)) is not None:
        making.event["consent"] = consent
    return Read(kind, making.event, tuple(making.notes), context.get("ip") in NO_ADDRESS)


def _object(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, dict) else {}


def _name(kind: str, message: Mapping[str, Any], segment: Segment) -> str | Fault | None:
    if kind == "track":
        return track_name(message.get("event"), segment)
    return view_name(segment.page if kind == "page" else segment.screen)


def _person(making: Making, kind: str, message: Mapping[str, Any], context: Mapping[str, Any]) -> Kind:
    """`identify`; an `alias` says that two ids are one person's. The traits of a `group` are the group's."""
    take_person(making, message, context, {}, own=kind == "identify")
    if kind == "alias":
        making.take((Row("previousId", "user_data.anonymous_id", word),), message)
    said = making.event.get("user_data", {})
    take_context(making, context, {})
    return Kind.PERSON if len(said) > 1 or kind == "identify" else Kind.NOTHING


def _event(
    making: Making, kind: str, name: str, message: Mapping[str, Any], context: Mapping[str, Any], segment: Segment
) -> None:
    given = message.get("properties")
    properties, view = flat(given), kind != "track"
    making.event["event_name"] = name
    take_person(making, message, context, properties, own=True)
    if view:
        # …/page/, …/screen/: a name and, in old SDKs, a category beside the properties
        making.take((Row("name", "custom_data.content_name", word),), message)
        making.take((Row("name", "custom_data.content_name", word),), properties, "properties.")
        making.take((Row("category", "custom_data.content_category", words),), message)
    take_commerce(making, name, given, properties, segment, view=view)
    if name == "Refund" and plain(str(message.get("event"))) in CANCELLED:
        making.put("custom_data.remaining_value", 0, "event")
    _take_page(making, context, properties, view=view)
    app = is_app(kind, name, message, context)
    said = word(properties.get("actionsource"))
    making.event["action_source"] = said if said and fits("", "action_source", said) else APP if app else WEBSITE
    if app:
        take_app(making, context)
    take_context(making, context, properties)
    if (event_id := _event_id(making, name, message, properties)) is not None:
        making.event["event_id"] = event_id


def _take_page(making: Making, context: Mapping[str, Any], properties: Mapping[str, Any], *, view: bool) -> None:
    """The page's address and the one before. A product's own address is not the page's."""
    page = _object(context.get("page"))
    for given in (properties, page) if view else (page,):
        making.take((Row("url", "event_source_url", word), Row("referrer", "referrer_url", word)), given, "page.")


def _event_id(making: Making, name: str, message: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
    """What a copy of the event will say again: its own id, an order's number, else the message's id.

    An order's number is left to the pipeline, so that it is taken here as from any other door.
    """
    for key in EVENT_IDS:
        if own := word(properties.get(key)):
            return own
    number = word(making.event.get("custom_data", {}).get(ID_FROM.get(name, "")))
    if number and len(number) <= LONGEST_ID and not holds_email(number):
        return None
    if name == "Refund" and plain(str(message.get("event"))) in CANCELLED:  # an order is cancelled once
        order = word(making.event.get("custom_data", {}).get("order_id"))
        if order and len(order) < LONGEST_ID - 10 and not holds_email(order):
            return f"cancelled-{order}"
    given = word(message.get("messageId"))
    if given is None or len(given) <= LONGEST_ID:
        return given
    return blake2b(given.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
