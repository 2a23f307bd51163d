"""The app and the device that a call comes from, and what else of its `context` the operator may want to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.ingest.formats.rows import Row, number, switch
from gateway.ingest.formats.segment.people import flat, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ingest.formats.rows import Making

#: Systems of phones, as SDKs write them → as the event does.
SYSTEMS = {"ios": "ios", "iphoneos": "ios", "ipados": "ios", "android": "android"}
#: Apple's answer to whether somebody may be tracked, as a number → as a word.
# https://developer.apple.com/documentation/apptrackingtransparency/attrackingmanager/authorizationstatus
TRACKING = {0: "NOT_DETERMINED", 1: "RESTRICTED", 2: "DENIED", 3: "AUTHORIZED"}
#: Calls that only an app makes.
OF_APPS = frozenset({"AppInstall", "AppOpen"})


def system(value: Any) -> str | None:
    """The operating system's name."""
    found = word(value)
    return SYSTEMS.get("".join(found.lower().split()), found.lower()) if found else None


def status(value: Any) -> str | None:
    """Apple's word for what somebody answered."""
    return word(TRACKING.get(value, value) if isinstance(value, int) else value)


# …/common/#context
APP = (
    Row("name", "app.name", word),
    Row("version", "app.version", word),
    Row("build", "app.build", word),
    Row("namespace", "app.package_name", word),
)
DEVICE = (
    Row("manufacturer", "app.device_brand", word),
    Row("model", "app.device_model", word),
    Row("adtrackingenabled", "app.advertiser_tracking_enabled", switch),
    Row("atttrackingstatus", "app.att_status", status),
    Row("trackingstatus", "app.att_status", status),
)
SYSTEM = (Row("name", "app.os", system), Row("version", "app.os_version", word))
SCREEN = (
    Row("width", "app.screen_width", number),
    Row("height", "app.screen_height", number),
    Row("density", "app.screen_density", number),
)
CONTEXT = (
    Row("locale", "app.locale", word),
    Row("timezone", "app.timezone", word),
)
NETWORK = (Row("carrier", "app.carrier", word),)

#: Of `context`, for the operator alone. What else may stand there nobody knows.
KEPT = (
    Row("sessionid", "context.session_id", word),
    Row("timezone", "context.timezone", word),
    Row("groupid", "context.group_id", word),
)
_LIBRARY, _CAMPAIGN = ("name", "version"), ("name", "source", "medium", "term", "content", "id")


def is_app(kind: str, name: str, message: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    """Whether an app makes the call. RudderStack's page SDK has an `app` as well: itself."""
    channel = message.get("channel") or context.get("channel")
    if channel in ("web", "mobile"):
        return bool(channel == "mobile")
    if kind == "screen" or name in OF_APPS:
        return True
    page = context.get("page")
    return isinstance(context.get("device"), dict) and not (isinstance(page, dict) and page.get("url"))


def take_app(making: Making, context: Mapping[str, Any]) -> None:
    """Fill `app`."""
    device = flat(context.get("device"))
    making.take(APP, flat(context.get("app")), "app.")
    making.take(SYSTEM, flat(context.get("os")), "os.")
    kind = word(device.get("type"))
    if kind and kind.lower() in SYSTEMS:
        making.take((Row("type", "app.os", system),), device, "device.")
    else:
        making.take((Row("type", "app.device_type", word),), device, "device.")
    making.take(DEVICE, device, "device.")
    making.take(SCREEN, flat(context.get("screen")), "screen.")
    making.take(NETWORK, flat(context.get("network")), "network.")
    making.take(CONTEXT, context)


def take_context(making: Making, context: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Fill the event's own `context`: the SDK, the campaign, the visit, the cart."""
    making.take(KEPT, flat(context))
    for name, keys in (("library", _LIBRARY), ("campaign", _CAMPAIGN)):
        given = flat(context.get(name))
        found = {key: one[:200] for key in keys if (one := word(given.get(key)))}
        if found:
            making.put(f"context.{name}", found, name)
    page = flat(context.get("page"))
    making.take((Row("title", "context.page_title", word),), {**page, **_titled(properties)}, "page.")
    making.take((Row("carttoken", "context.cart_token", word),), properties, "properties.")


def _titled(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """The title of the page whose address the properties hold: elsewhere it may be a product's."""
    return {"title": properties["title"]} if "title" in properties and "url" in properties else {}
