"""What the usual names of columns mean: paths of the event, and what platforms' templates and CRM exports call them.

A name is matched without regard to case, spaces, dots, underscores and hyphens. What is in no table is not guessed:
the operator hears of it, since a column that nobody knows may hold anything, a person's data too.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from gateway.ingest.formats.files.places import CONTENTS, places

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What stands for a column that two templates mean differently, or a CRM for something of its own → what to ask.
UNCLEAR: Mapping[str, str] = {
    "Lead ID": "`user_data.meta_lead_id` if it is the id of Meta's lead ad; your CRM's own id: `user_data.external_id`",
    "ID": "`event_id`, `custom_data.order_id` or `user_data.external_id`",
    "Name": "`user_data.first_name` and `user_data.last_name` are two columns; of a product, `contents.title`",
    "Full Name": "`user_data.first_name` and `user_data.last_name` are two columns",
    "Price": "`custom_data.value` of the whole order, or `contents.item_price` of one piece",
    "Date": "`event_time`, if it is when the conversion happened",
    "Status": "`custom_data.lead_stage` and `event_name`, if it is the stage of a lead",
    "Consent": "one of `consent.ad_storage`, `consent.ad_user_data` and `consent.ad_personalization`, by `values`",
}

#: Google Ads, conversions from clicks, and enhanced conversions for leads:
#: https://support.google.com/google-ads/answer/7014069
GOOGLE_ADS: Mapping[str, str] = {
    "Google Click ID": "user_data.gclid",
    "Conversion Name": "event_name",
    "Conversion Time": "event_time",
    "Conversion Value": "custom_data.value",
    "Conversion Currency": "custom_data.currency",
    "Currency Code": "custom_data.currency",
    "Transaction ID": "custom_data.order_id",
    "Phone Number": "user_data.phone",
    "User Agent": "user_data.client_user_agent",
    "IP Address": "user_data.client_ip_address",
}
#: How `Conversion Time` may be written there, beside ISO: month before day, always.
GOOGLE_ADS_TIMES = (
    "%m/%d/%Y %I:%M:%S %p",
    "%b %d,%Y %I:%M:%S %p",
    "%b %d, %Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p %z",
    "%m/%d/%Y %H:%M:%S %z",
)

#: Meta's short names of match keys:
#: https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters
META: Mapping[str, str] = {
    "em": "user_data.email",
    "ph": "user_data.phone",
    "fn": "user_data.first_name",
    "ln": "user_data.last_name",
    "ct": "user_data.city",
    "st": "user_data.state",
    "zp": "user_data.zip",
    "db": "user_data.date_of_birth",
    "dob": "user_data.date_of_birth",
    "ge": "user_data.gender",
    "gen": "user_data.gender",
    "extern_id": "user_data.external_id",
    "leadgen_id": "user_data.meta_lead_id",
}

#: CRM exports, tills and shops, in English.
USUAL: Mapping[str, str] = {
    "Event": "event_name",
    "Timestamp": "event_time",
    "Email Address": "user_data.email",
    "E-mail": "user_data.email",
    "Email 2": "user_data.email",
    "Phone 2": "user_data.phone",
    "Mobile": "user_data.phone",
    "Mobile Phone": "user_data.phone",
    "Telephone": "user_data.phone",
    "Given Name": "user_data.first_name",
    "Surname": "user_data.last_name",
    "Family Name": "user_data.last_name",
    "Street Address": "user_data.street",
    "Address": "user_data.street",
    "State/Region": "user_data.state",
    "Province": "user_data.state",
    "Postal Code": "user_data.zip",
    "Zip Code": "user_data.zip",
    "Postcode": "user_data.zip",
    "Country Code": "user_data.country",
    "Birthday": "user_data.date_of_birth",
    "Customer ID": "user_data.external_id",
    "Contact ID": "user_data.external_id",
    "User ID": "user_data.external_id",
    "GA Client ID": "user_data.ga_client_id",
    "Amount": "custom_data.value",
    "Total": "custom_data.value",
    "Order Total": "custom_data.value",
    "Deal Amount": "custom_data.value",
    "Refund Amount": "custom_data.value",
    "Order Number": "custom_data.order_id",
    "Deal ID": "custom_data.order_id",
    "Opportunity ID": "custom_data.order_id",
    "Store": "custom_data.store_id",
    "Lead Status": "custom_data.lead_stage",
    "Deal Stage": "custom_data.lead_stage",
    "Lifecycle Stage": "custom_data.lead_stage",
    "Stage": "custom_data.lead_stage",
    "SKU": f"{CONTENTS}id",
    "Product ID": f"{CONTENTS}id",
    "Item ID": f"{CONTENTS}id",
    "Quantity": f"{CONTENTS}quantity",
    "Item Price": f"{CONTENTS}item_price",
    "Unit Price": f"{CONTENTS}item_price",
    "Product Name": f"{CONTENTS}title",
    "Item Name": f"{CONTENTS}title",
}

TABLES: Mapping[str, Mapping[str, str]] = {
    "Google Ads": GOOGLE_ADS,
    "short names of match keys": META,
    "CRMs, tills, shops": USUAL,
}
#: Parts of the event whose keys are understood without it: `email`, `value`, `ad_user_data`.
ALONE = ("user_data", "custom_data", "consent")
#: Those that are not, because they are usual words for something else.
NOT_ALONE = frozenset({"custom_data.status", "custom_data.description", "consent.region", "user_data.partner_id"})

_NOISE = re.compile(r"[\W_]+")


def plain(name: str) -> str:
    """A name as it is compared."""
    return _NOISE.sub("", name.casefold())


@cache
def known() -> Mapping[str, str]:
    """Plain name → path, of all names that are understood."""
    found = {plain(path.rpartition(".")[2]): path for path in places() if _stands_alone(path)}
    found |= {plain(path.removeprefix("custom_data.")): path for path in places() if path.startswith(CONTENTS)}
    found |= {plain(path): path for path in places()}
    for table in TABLES.values():
        found |= {plain(name): path for name, path in table.items()}
    return found


@cache
def unclear() -> Mapping[str, str]:
    """Plain name → what to ask of it."""
    return {plain(name): words for name, words in UNCLEAR.items()}


def _stands_alone(path: str) -> bool:
    return path.partition(".")[0] in ALONE and not path.startswith(CONTENTS) and path not in NOT_ALONE


def markdown() -> str:
    """The tables of names that stand for a path, as `docs/doors/files.md` has them."""
    rows = ["| column | stands for | known from |", "|---|---|---|"]
    for whose, table in TABLES.items():
        by_path: dict[str, list[str]] = {}
        for name, path in table.items():
            by_path.setdefault(path, []).append(f"`{name}`")
        rows += [f"| {', '.join(names)} | `{path}` | {whose} |" for path, names in by_path.items()]
    return "\n".join(rows)
