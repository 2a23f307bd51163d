"""Who a call is about: ids, traits in their usual spellings, click and browser ids, the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import plain
from gateway.ingest.formats.rows import Row, text
from gateway.ingest.misplaced import holds_email
from gateway.model.event import CLICK_IDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.ingest.formats.rows import Making

#: What SDKs are told to send where no address is to be kept. …/common/#context-fields-automatically-collected
NO_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # not listened at


def word(value: Any) -> str | None:
    """A text without blanks around it."""
    found = text(value)
    return found.strip() or None if found is not None else None


def words(value: Any) -> str | list[str] | None:
    """One text or several."""
    if not isinstance(value, list):
        return word(value)
    return list(dict.fromkeys(one for entry in value if (one := word(entry)))) or None


def day(value: Any) -> str | None:
    """A date, of which the time of day is left out."""
    found = word(value)
    return found[:10] if found and len(found) > 10 and found[4:5] == found[7:8] == "-" else found


_GENDERS = frozenset({"m", "f", "male", "female", "man", "woman"})


def gender(value: Any) -> str | None:
    """A person's gender; a product's (`womens`) is none."""
    found = word(value)
    return found if found is not None and found.lower() in _GENDERS else None


def _rows(to: str, names: str, as_: Any = words) -> tuple[Row, ...]:
    return tuple(Row(name, f"user_data.{to}", as_) for name in names.split())


# …/identify/#traits; keys are `plain`.
CONTACT: tuple[Row, ...] = (
    *_rows("email", "email emailaddress useremail customeremail"),
    *_rows("phone", "phone phonenumber mobile mobilephone mobilenumber telephone cellphone userphone customerphone"),
    *_rows("first_name", "firstname givenname fname forename"),
    *_rows("last_name", "lastname surname familyname lname"),
    *_rows("date_of_birth", "birthday birthdate dateofbirth dob", day),
)
PLACE: tuple[Row, ...] = (
    *_rows("street", "street streetaddress address1 addressline1 line1"),
    *_rows("city", "city town"),
    *_rows("state", "state region province provincecode stateprovince"),
    *_rows("zip", "zip zipcode postalcode postcode"),
    *_rows("country", "country countrycode"),
)
TRAITS: tuple[Row, ...] = (
    *CONTACT,
    *PLACE,
    *_rows("gender", "gender sex", gender),
    *_rows("language", "language", word),
)

WHO = (Row("userId", "user_data.external_id", word), Row("anonymousId", "user_data.anonymous_id", word))

#: Ids under which a platform knows a browser, a click or a lead, by their canonical names and those of other tools.
#: `match_id`, `impression_id` and the like mean other things in a site's own words.
IDS: tuple[Row, ...] = (
    *(
        Row(plain(key), f"user_data.{key}", word)
        for key in (*CLICK_IDS, "meta_lead_id", "tiktok_lead_id", "snap_lead_id", "linkedin_lead_urn")
        if key not in ("impression_id", "match_id")
    ),
    *_rows("sc_click_id", "sccid scclid", word),
    *_rows("sc_cookie1", "scid uuidc1", word),
    *_rows("fbclid", "metafbclid", word),
    *_rows("fbp", "metafbp", word),
    *_rows("fbc", "metafbc", word),
    *_rows("ttclid", "tiktokclickid", word),
)
# https://segment.com/docs/connections/destinations/catalog/google-analytics/: in `integrations`, under its name
ANALYTICS = "googleanalytics"
ANALYTICS_IDS = (*_rows("ga_client_id", "clientid", word), *_rows("ga_session_id", "sessionid ga4sessionid", word))

#: Properties that say who somebody is: they are no property of what happened.
PROPERTIES = frozenset({row.key for row in (*CONTACT, *IDS)})
#: Likewise beside one of those: alone, a country or a state may be anything's.
PLACES = frozenset({row.key for row in PLACE}) | {"address"}
_NAMING = frozenset({row.key for row in CONTACT})


def flat(given: Any) -> dict[str, Any]:
    """An object by the `plain` names of its keys; the first of two counts. Anything else is empty."""
    found: dict[str, Any] = {}
    for key, value in given.items() if isinstance(given, dict) else ():
        if value is not None and value != "":
            found.setdefault(plain(key), value)
    return found


def names_somebody(properties: Mapping[str, Any]) -> bool:
    """Whether `flat` properties hold a person's contact, so that places beside it are theirs."""
    return not _NAMING.isdisjoint(properties)


def take_person(
    making: Making, message: Mapping[str, Any], context: Mapping[str, Any], properties: Mapping[str, Any], *, own: bool
) -> None:
    """Fill `user_data`. What is said of the person goes before what is said of the event.

    `properties`: `flat`. `own`: the call's `traits` are the person's, not a group's.
    """
    traits = flat(message.get("traits")) if own else {}
    known = flat(context.get("traits"))
    making.take(WHO, message)
    for given in (traits, known):
        making.take(TRAITS, given)
        making.take(PLACE, flat(given.get("address")), "address.")
        _name(making, given)
        making.take((Row("id", "user_data.external_id", word),), given)
    making.take(CONTACT, properties, "properties.")
    if names_somebody(properties):
        making.take(PLACE, properties, "properties.")
        making.take(PLACE, flat(properties.get("address")), "properties.address.")
    _email_id(making)
    _take_ids(making, message, context, (properties, traits, known))
    _take_browser(making, context)


def _name(making: Making, given: Mapping[str, Any]) -> None:
    """A name of two words; which of three is which, nobody knows."""
    name = given.get("name")
    parts: list[str] = name.split() if isinstance(name, str) else []
    said = making.event.get("user_data", {})
    if len(parts) == 2 and "first_name" not in said and "last_name" not in said:
        making.put("user_data.first_name", parts[0], "name")
        making.put("user_data.last_name", parts[1], "name")


def _email_id(making: Making) -> None:
    """Some sites take the address for the id."""
    said = making.event.get("user_data", {})
    if "email" not in said and holds_email(said.get("external_id")):
        making.put("user_data.email", said["external_id"], "userId")


def _take_ids(
    making: Making, message: Mapping[str, Any], context: Mapping[str, Any], said: Iterable[Mapping[str, Any]]
) -> None:
    places = [*said, flat(context), flat(context.get("campaign")), _external_ids(context.get("externalId"))]
    integrations = message.get("integrations")
    for name, options in integrations.items() if isinstance(integrations, dict) else ():
        if isinstance(options, dict):
            places.append(flat(options))
            if plain(name).startswith(ANALYTICS):
                making.take(ANALYTICS_IDS, places[-1], "integrations.")
    for given in places:
        making.take(IDS, given)


def _external_ids(given: Any) -> dict[str, Any]:
    """RudderStack's list of ids with their types, by type."""
    return flat(
        {
            one["type"]: one.get("id")
            for one in (given if isinstance(given, list) else ())
            if isinstance(one, dict) and isinstance(one.get("type"), str)
        }
    )


def _take_browser(making: Making, context: Mapping[str, Any]) -> None:
    """What the SDK says of the visitor's browser or device. …/common/#context"""
    rows = (
        Row("ip", "user_data.client_ip_address", word),
        Row("userAgent", "user_data.client_user_agent", word),
        Row("locale", "user_data.language", word),
    )
    making.take(rows, {key: value for key, value in context.items() if value not in NO_ADDRESS})
    given = context.get("device")
    device: Mapping[str, Any] = given if isinstance(given, dict) else {}
    if device.get("adTrackingEnabled") is not False:
        making.take((Row("advertisingId", "user_data.madid", word),), device, "device.")
    if str(device.get("type", "")).lower() == "ios":
        making.take((Row("id", "user_data.idfv", word),), device, "device.")
