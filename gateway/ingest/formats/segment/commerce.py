"""What a call is about: `properties` as `custom_data`. …/ecommerce/v2/"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.config import plain
from gateway.ingest.currencies import is_currency
from gateway.ingest.formats.rows import MISFIT, MOST_ITEMS, Row, items, number, same
from gateway.ingest.formats.segment.people import PLACES, PROPERTIES, flat, names_somebody, word, words
from gateway.schema import EVENT_SCHEMA, load_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Segment
    from gateway.ingest.formats.rows import Making

#: Events about one product, whose properties are the product's if there is no list.
ONE_PRODUCT = frozenset({"ViewContent", "AddToCart", "RemoveFromCart", "AddToWishlist", "CustomizeProduct"})

CURRENCY = ("currency", "currencycode")
#: Names under which `event_id` may stand, so that a pixel on the page can say the same.
EVENT_IDS = ("eventid",)


def amount(value: Any) -> Any:
    """An amount, also from its text; `None` if it is none or below zero."""
    found = number(value)
    return None if found is None or found < 0 else found


def currency(value: Any) -> str | None:
    """A currency that there is. None is ever guessed."""
    found = word(value)
    return found.upper() if found is not None and is_currency(found.upper()) else None


def _to(key: str, *names: str, as_: Any = same) -> tuple[Row, ...]:
    return tuple(Row(name, f"custom_data.{key}", as_) for name in (plain(key), *names))


#: Keys are `plain`.
CUSTOM_DATA = (
    *_to("order_id", "transactionid", as_=word),
    *_to("tax", as_=amount),
    *_to("shipping", as_=amount),
    *_to("discount", as_=amount),
    *_to("coupon", as_=words),
    *_to("search_string", "query", "searchterm", as_=word),
    *_to("refund_id", as_=word),
    *_to("content_category", "category", as_=words),
    *_to("num_items", as_=number),
    *_to("predicted_ltv", as_=amount),
    *_to("net_revenue", as_=number),
    *_to("remaining_value", as_=amount),
    *_to("store_id", as_=word),
    *_to("shop_id", as_=word),
    *_to("merchant_id", as_=word),
)
# …/ecommerce/v2/#product-viewed; `content`'s own keys too, for whoever writes as the gateway does
PRODUCT = (
    Row("productid", "id", word),
    Row("sku", "id", word),
    Row("id", "id", word),
    Row("itemid", "id", word),
    Row("price", "item_price", amount),
    Row("itemprice", "item_price", amount),
    Row("quantity", "quantity", amount),
    Row("name", "title", word),
    Row("productname", "title", word),
    Row("title", "title", word),
    Row("brand", "brand", word),
    Row("category", "category", word),
    Row("variant", "variant", word),
    Row("description", "description", word),
    Row("deliverycategory", "delivery_category", word),
)
#: What an event about one product says of it besides.
OF_ONE = (
    *_to("content_name", "name", "productname", "title", as_=word),
    *_to("content_brand", "brand", as_=word),
)
PRODUCTS = ("products", "contents", "items")
#: Of a page; its address and the one before stand in the event. …/page/#properties
OF_PAGE = frozenset(
    "path url referrer search title name taburl initialreferrer initialreferringdomain referringdomain".split()
)
#: Canonical keys that no row above names, as the site may write them.
_REST: Mapping[str, str] = {
    plain(key): key
    for key in load_schema(EVENT_SCHEMA)["$defs"]["custom_data"]["properties"]
    if key not in ("value", "contents")
}


def take_commerce(
    making: Making, name: str, given: Any, properties: Mapping[str, Any], segment: Segment, *, view: bool
) -> None:
    """Fill `custom_data`. `given`: the properties as they came; `properties`: the same `flat`. `view`: of a page."""
    taken = {*PROPERTIES, *EVENT_IDS, "actionsource", "carttoken", *(OF_PAGE if view else ())}
    if names_somebody(properties):
        taken |= PLACES
    _take_products(making, name, properties, taken)
    making.take(CUSTOM_DATA, {key: one for key, one in properties.items() if key not in taken}, "properties.")
    taken |= {row.key for row in CUSTOM_DATA} | set(CURRENCY)
    _take_currency(making, properties)
    _take_value(making, name, properties, segment, taken)
    if isinstance(given, dict):
        own: dict[str, Any] = {key: one for key, one in given.items() if plain(key) not in taken}
        rest = {_REST.get(plain(key), key): one for key, one in own.items()}
        making.free(rest, (), "properties.")
    if not making.event.get("custom_data", True):
        del making.event["custom_data"]


def _take_products(making: Making, name: str, properties: Mapping[str, Any], taken: set[str]) -> None:
    at = next((key for key in PRODUCTS if isinstance(properties.get(key), list)), None)
    if at is not None:
        taken.add(at)
        products = [flat(one) if isinstance(one, dict) else one for one in properties[at][: MOST_ITEMS + 1]]
        items(PRODUCT, products, making, f"properties.{at}")
    elif name in ONE_PRODUCT:
        own = {key: value for key, value in properties.items() if key not in taken}
        items(PRODUCT, [own], making, "properties")
        making.take(OF_ONE, own, "properties.")
        taken |= {row.key for row in (*PRODUCT, *OF_ONE)} - {"category"}


def _take_currency(making: Making, properties: Mapping[str, Any]) -> None:
    for key in CURRENCY:
        if key in properties:
            if (found := currency(properties[key])) is not None:
                making.put("custom_data.currency", found, key)
            else:
                making.note(f"properties.{key}", MISFIT)


def _take_value(making: Making, name: str, properties: Mapping[str, Any], segment: Segment, taken: set[str]) -> None:
    """The event's worth: as the operator lists the properties, else of its one product, price by quantity."""
    for key in segment.value:
        if key not in properties:
            continue
        found = number(properties[key])
        if found is not None and found < 0 and name == "Refund":  # some write what was given back below zero
            found = -found
        if found is not None and found >= 0:
            making.put("custom_data.value", found, f"properties.{key}")
            taken.add(key)
            return
        making.note(f"properties.{key}", MISFIT)
        if key == "value":
            taken.add(key)
    contents = making.event.get("custom_data", {}).get("contents", ())
    if name in ONE_PRODUCT and len(contents) == 1 and "item_price" in contents[0]:
        price, quantity = (Decimal(str(contents[0].get(key, 1))) for key in ("item_price", "quantity"))
        making.put("custom_data.value", number(float(price * quantity)), "properties.price")
