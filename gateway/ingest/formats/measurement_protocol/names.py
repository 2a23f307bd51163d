"""Event names of GA4 → canonical. Docs: https://developers.google.com/analytics/devguides/collection/ga4/reference/events

Automatic ones: https://support.google.com/analytics/answer/9234069
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

#: GA4's name → the canonical or custom one; `None`: such events are left out. Any other name is a custom event.
Names: TypeAlias = Mapping[str, str | None]

RECOMMENDED = {
    "purchase": "Purchase",
    "refund": "Refund",
    "add_to_cart": "AddToCart",
    "remove_from_cart": "RemoveFromCart",
    "view_cart": "ViewCart",
    "add_to_wishlist": "AddToWishlist",
    "begin_checkout": "InitiateCheckout",
    "add_shipping_info": "AddShippingInfo",
    "add_payment_info": "AddPaymentInfo",
    "view_item": "ViewContent",
    "view_item_list": "ViewCategory",
    "search": "Search",
    "generate_lead": "Lead",
    "qualify_lead": "QualifiedLead",
    "close_convert_lead": "ConvertedLead",
    "disqualify_lead": "DisqualifiedLead",
    "close_unconvert_lead": "DisqualifiedLead",
    "sign_up": "CompleteRegistration",
    "login": "Login",
    "share": "Share",
}
#: What a tag or an app's SDK sends by itself and a platform has a name for.
AUTOMATIC = {
    "page_view": "PageView",
    "screen_view": "PageView",
    "view_search_results": "Search",
    "file_download": "Download",
    "video_start": "WatchVideo",
    "first_open": "AppInstall",
    "app_open": "AppOpen",
    "ad_click": "AdClick",
    "ad_impression": "AdView",
}
#: What they send by themselves and means nothing to an ad platform.
LEFT_OUT = (
    *("user_engagement", "session_start", "first_visit", "scroll", "click", "form_start", "form_submit"),
    *("video_progress", "video_complete", "user_data", "ad_exposure", "ad_query", "ad_reward", "adunit_exposure"),
    *("app_clear_data", "app_exception", "app_remove", "app_update", "error", "firebase_campaign", "os_update"),
    *("dynamic_link_app_open", "dynamic_link_app_update", "dynamic_link_first_open", "notification_dismiss"),
    *("notification_foreground", "notification_open", "notification_receive", "in_app_message_action"),
    *("fiam_action", "fiam_dismiss", "fiam_impression", "app_store_subscription_renew"),
)

NAMES: Names = {**RECOMMENDED, **AUTOMATIC, **dict.fromkeys(LEFT_OUT)}


def names_with(changes: Mapping[str, str | bool]) -> Names:
    """The table with an operator's changes: a name, `False` to leave out, `True` to keep as a custom event."""
    if not changes:
        return NAMES
    return {**NAMES, **{ga: ga if to is True else to or None for ga, to in changes.items()}}
