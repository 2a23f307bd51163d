"""What a `track` call is called, there and here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import plain
from gateway.model.errors import Fault
from gateway.model.event import STANDARD_NAMES

if TYPE_CHECKING:
    from gateway.config import Segment

#: Canonical name → names of the specification, of its first version, and what else is common. One that two sites use
#: for two things is not here: it stays a custom event until `events` says what it is.
# …/ecommerce/v2/, …/mobile/, …/b2b-saas/, …/video/
NAMES = {
    "Search": ("Products Searched", "Searched Products"),
    "ViewCategory": ("Product List Viewed", "Viewed Product Category", "Category Viewed"),
    "ViewContent": ("Product Viewed", "Viewed Product"),
    "AddToCart": ("Product Added", "Added Product", "Added To Cart", "Wishlist Product Added to Cart"),
    "RemoveFromCart": ("Product Removed", "Removed Product", "Removed From Cart"),
    "ViewCart": ("Cart Viewed", "Viewed Cart"),
    "InitiateCheckout": ("Checkout Started", "Started Checkout", "Checkout Initiated"),
    "AddPaymentInfo": ("Payment Info Entered", "Payment Info Added"),
    "AddShippingInfo": ("Shipping Info Entered", "Shipping Info Added"),
    "Purchase": ("Order Completed", "Completed Order"),
    "Refund": ("Order Refunded", "Refunded Order", "Order Cancelled", "Order Canceled"),
    "AddToWishlist": ("Product Added to Wishlist", "Added Product to Wishlist", "Added to Wishlist"),
    "CompleteRegistration": ("Signed Up", "Sign Up", "User Signed Up", "Registration Completed"),
    "Login": ("Signed In", "Sign In", "Logged In", "User Signed In"),
    "Lead": ("Lead Generated", "Generate Lead", "Lead Created", "Lead Submitted", "Lead Captured"),
    "QualifiedLead": ("Lead Qualified",),
    "ConvertedLead": ("Lead Converted",),
    "DisqualifiedLead": ("Lead Disqualified",),
    "Schedule": ("Appointment Scheduled", "Appointment Booked", "Demo Scheduled"),
    "StartTrial": ("Trial Started", "Started Trial"),
    "Subscribe": ("Subscribed", "Subscription Started"),
    "Share": ("Product Shared", "Cart Shared", "Shared"),
    "WatchVideo": ("Video Playback Started",),
    "Download": ("Downloaded", "File Downloaded"),
    "Donate": ("Donated", "Donation Completed"),
    "AppInstall": ("Application Installed",),
    "AppOpen": ("Application Opened",),
}
_CANONICAL = {
    **{plain(name): name for name in STANDARD_NAMES},
    **{plain(name): canonical for canonical, several in NAMES.items() for name in several},
}
#: An order that is cancelled is given back as a whole.
CANCELLED = frozenset(map(plain, ("Order Cancelled", "Order Canceled")))


def track_name(given: Any, segment: Segment) -> str | Fault | None:
    """The name of a `track` call's event; `None` if the operator leaves it out."""
    if not isinstance(given, str):
        return Fault("/event", "wrong_type" if given is not None else "required", "expected the event's name, a text")
    name = given.strip()
    if not name:
        return Fault("/event", "required", "expected the event's name")
    change = segment.events.get(plain(name))
    if change is None:
        return _CANONICAL.get(plain(name), name)
    return name if change is True else change or None


def view_name(change: str | bool) -> str | None:
    """The name of a `page` or `screen` call's event; `None` if the operator leaves it out."""
    return "PageView" if change is True else change or None
