"""Personal data out of URLs and free values, before anything is stored.

Two questions to each parameter or key: does its name say personal data, and does its value look like an e-mail
address or a phone number. Ten digits alone are as likely an order or a time, so that a number counts as a phone number
only with a `+`, with the separators of one, or under a name that says so.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, TypeAlias

from gateway.privacy.clickids import PARAMETERS
from gateway.privacy.personal import decoded, has_email, has_phone, telling_name, without_personal

#: Names of URL parameters that may stay, as they are written or in lower case.
Allow: TypeAlias = frozenset[str]

#: What stands where something was taken out of the middle of a text.
MARK = "[removed]"

#: URL parameters that identify a click, in lower case. Without `ad_storage` they go.
CLICK_PARAMETERS = frozenset(name.lower() for name in PARAMETERS) | {"gclsrc", "_gl"}

_KEYS = """
    value currency order_id contents content_ids content_type content_name content_category content_brand num_items
    search_string predicted_ltv net_revenue status delivery_category tax shipping discount coupon new_customer
    customer_type customer_segmentation refund_id remaining_value conversion_count merchant_id merchant_feed_label
    merchant_feed_language store_id shop_id sign_up_method lead_event_source lead_stage description
    id quantity item_price title brand category variant library session_id page_title
    """
#: Keys of `custom_data`, its `contents` and `context` that are what the schema says they are, whatever they sound like.
SCHEMA_KEYS = frozenset(_KEYS.split())

#: Deeper than this nothing is kept: nobody would look there.
MAX_DEPTH = 32

#: Without one of these a text holds no address and no number of the shapes that are looked for.
_SUSPECT = re.compile(r"[@%+＠﹫＋﹢⁺]|\d\W{1,2}\d")
#: The same for a parameter: an `@`, `%`, `+`, `=`, `?` or digit may be encoded, separators between digits too.
_SUSPECT_PART = re.compile(
    r"[@＠﹫]|[+＋﹢⁺](?:\W|%2[08]){0,4}\d|%(?:40|2[5Bb]|3[0-9BbDdFf]|[Ee][Ff]|[Ff]0|[Dd][9Bb])"
    r"|=[^=]*=[^=]|\d(?:\W|%[0-9A-Fa-f]{2}){1,4}\d"
)
_NESTED = re.compile(r"(?:^|[?&;#])([^=&?#;]{1,64})=")
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?")
#: A name that is longer may be a value that got lost: it is told to nobody and not remembered.
LONGEST_NAME = 40
_PLAIN = re.compile(rf"[A-Za-z0-9_.\[\]-]{{1,{LONGEST_NAME}}}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_ID_KEY = re.compile(r"(?:.*_)?ids?|.*[a-z]Ids?|sku|gtin", re.DOTALL)
_RAW_PLUS = re.compile(r"\+[1-9]\d{9,14}(?!\d)")


def scrub_url(url: str, *, keep_click_ids: bool, parameters: Allow | None = None) -> tuple[str, tuple[str, ...]]:
    """Take personal data out of a URL; the rest stays byte for byte, in its order.

    Returns the URL and what was taken out: names of parameters, `userinfo`, `path`. A name that could itself be
    personal data is given as `?`. `parameters`: if given, all others go too.
    """
    head, hash_mark, fragment = url.partition("#")
    base, question, query = head.partition("?")
    if not (question or hash_mark) and "@" not in url and "%" not in url and "+" not in url and url.isascii():
        return url, ()
    removed: list[str] = []
    base = _scrub_base(base, removed)
    if question:
        query = _scrub_query(query, keep_click_ids, parameters, removed)
    if hash_mark:
        fragment = _scrub_fragment(fragment, keep_click_ids, parameters, removed)
    if not removed:
        return url, ()
    return base + (f"?{query}" if query else "") + (f"#{fragment}" if fragment else ""), tuple(dict.fromkeys(removed))


def _scrub_base(base: str, removed: list[str]) -> str:
    """Scheme, authority and path without userinfo and addresses."""
    if "@" not in base and "%" not in base and "+" not in base and base.isascii():
        return base
    front, slashes, rest = base.partition("//")
    if slashes and _SCHEME.fullmatch(front):
        authority, slash, path = rest.partition("/")
        if "@" in authority:
            authority = authority.rpartition("@")[2]
            removed.append("userinfo")
        front, rest = front + slashes, authority + slash + path
    else:
        front, rest = "", base
    segments = [_scrub_segment(segment) for segment in rest.split("/")]
    path = "/".join(segments)
    if path != rest:
        removed.append("path")
    return front + path


def _scrub_segment(segment: str) -> str:
    plain = decoded(segment)
    if plain.lower().removeprefix("tel:").startswith("+") and has_phone(plain):
        return MARK
    if not has_email(plain):
        return segment
    cut = without_personal(segment, MARK, phones=False)
    return MARK if has_email(decoded(cut)) or cut == segment else cut


def _scrub_query(query: str, keep_click_ids: bool, parameters: Allow | None, removed: list[str]) -> str:
    kept = []
    parts = query.split("&")
    for part in parts:
        name = _taken_out(part, keep_click_ids, parameters)
        if name is None:
            kept.append(part)
        else:
            removed.append(name)
    return query if len(kept) == len(parts) else "&".join(kept)


def _scrub_fragment(fragment: str, keep_click_ids: bool, parameters: Allow | None, removed: list[str]) -> str:
    """A fragment is a route with a query (`/cart?step=2`), parameters (`access_token=…`), or a place on the page."""
    route, question, query = fragment.partition("?")
    if not question:
        if "=" in fragment:
            return _scrub_query(fragment, keep_click_ids, parameters, removed)
        return _scrub_base(fragment, removed)
    query = _scrub_query(query, keep_click_ids, parameters, removed)
    return _scrub_base(route, removed) + (f"?{query}" if query else "")


def _taken_out(part: str, keep_click_ids: bool, parameters: Allow | None) -> str | None:
    """The name under which this parameter goes, `None` if it stays."""
    raw_name, equals, value = part.partition("=")
    if (
        parameters is None
        and value.isalnum()
        and value.isascii()
        and raw_name.isascii()
        and raw_name.isidentifier()
        and len(raw_name) <= LONGEST_NAME
        and _ordinary(raw_name)
    ):
        return None  # nearly always
    name = decoded(raw_name)
    lower = name.lower()
    click_id = lower in CLICK_PARAMETERS
    if not part or (
        not (click_id and not keep_click_ids)
        and (parameters is None or name in parameters or lower in parameters)
        and not (equals and telling_name(name, parameter=True))
        and (_SUSPECT_PART.search(part) is None or not _telling_value(name, value, part, click_id, keep_click_ids))
    ):
        return None
    return name if equals and _PLAIN.fullmatch(name) else "?"


@lru_cache(maxsize=4096)
def _ordinary(name: str) -> bool:
    """Whether a plain name of a parameter says nothing of a person or a click."""
    return name.lower() not in CLICK_PARAMETERS and not telling_name(name, parameter=True)


def _telling_value(name: str, value: str, part: str, click_id: bool, keep_click_ids: bool) -> bool:
    plain = decoded(part)
    if has_email(plain):
        return True
    if click_id:  # opaque: digits and dashes in it mean nothing
        return False
    # A plus is a blank in a query, unless somebody forgot to encode it.
    if _RAW_PLUS.search(value) or has_phone(decoded(value[:1] + value[1:].replace("+", " "))) or has_phone(name):
        return True
    inner = plain.partition("=")[2]
    return any(
        telling_name(nested, parameter=True) or (not keep_click_ids and nested.lower() in CLICK_PARAMETERS)
        for nested in (_NESTED.findall(inner) if "=" in inner else ())
    )


def scrub_value(value: Any) -> tuple[Any, dict[str, str]]:
    """Take personal data out of a JSON value (`custom_data`, `context`), at any depth.

    Returns the value (the same object if nothing was found; the given one is never changed) and what was taken out:
    JSON pointer below the value → reason, one of `name` (the key says personal data), `email`, `phone`, `digest`
    (a SHA-256 that belongs into `user_data`), `depth`. A pointer never holds personal data.
    """
    removed: dict[str, str] = {}
    return (value if _clean(value, "", 0) else _scrub(value, "", (), removed)), removed


class _Gone:
    """Says that nothing is left of a value."""


_GONE = _Gone()


def _clean(value: Any, key: str, depth: int) -> bool:
    """Whether nothing in it needs a closer look: nearly always, and cheap to tell."""
    kind = type(value)
    if kind is str:
        return not _may_tell(value)
    if kind is dict:
        if depth >= MAX_DEPTH:
            return False
        for name, item in value.items():
            if name not in SCHEMA_KEYS and (_SUSPECT.search(name) or telling_name(name, key, parameter=depth == 0)):
                return False
            kind = type(item)
            if kind is str:
                if not item.isalnum() and _may_tell(item):
                    return False
                if len(item) == 64:
                    return False
            elif (kind is dict or kind is list) and not _clean(item, name, depth + 1):
                return False
    elif kind is list:
        if depth >= MAX_DEPTH:
            return False
        for item in value:
            if not _clean(item, key, depth + 1):
                return False
    return True


def _may_tell(text: str) -> bool:
    if text.isalnum():  # no sign of an address or a number in it
        return len(text) == 64
    return len(text) >= 6 and (_SUSPECT.search(text) is not None or "://" in text or len(text) == 64)


def _scrub(value: Any, key: str, path: tuple[str | int, ...], removed: dict[str, str]) -> Any:
    """`key`: the nearest key above, which stays that of a list for its items."""
    if isinstance(value, str):
        return _scrub_text(value, key, path, removed) if _may_tell(value) else value
    if not isinstance(value, dict | list | tuple) or not value:
        return value
    if len(path) >= MAX_DEPTH:
        removed[_pointer(path)] = "depth"
        return _GONE
    if isinstance(value, dict):
        return _scrub_object(value, key, path, removed)
    items = [_scrub(item, key, (*path, at), removed) for at, item in enumerate(value)]
    if all(new is old for new, old in zip(items, value, strict=True)):
        return value
    return [item for item in items if item is not _GONE]


def _scrub_object(value: dict[str, Any], parent: str, path: tuple[str | int, ...], removed: dict[str, str]) -> Any:
    kept: dict[str, Any] = {}
    changed = False
    for key, old in value.items():
        if _telling_key(key, parent, old, whole=not path):
            removed[_pointer((*path, key))] = "name"
            changed = True
            continue
        new = _scrub(old, key, (*path, key), removed)
        changed = changed or new is not old
        if new is not _GONE:
            kept[key] = new
    return kept if changed else value


def _telling_key(key: str, parent: str, value: Any, *, whole: bool) -> bool:
    """`whole`: at the top, where `name` or `zip` alone can only be a person's; deeper it may be a product's."""
    if key in SCHEMA_KEYS:
        return False
    if _is_personal(key):
        return True
    return not isinstance(value, bool | None) and telling_name(key, parent, parameter=whole)


def _is_personal(key: str) -> bool:
    if _SUSPECT.search(key) is None:
        return False
    plain = decoded(key)
    return has_email(plain) or has_phone(plain)


def _pointer(path: tuple[str | int, ...]) -> str:
    """A JSON pointer (RFC 6901); a key that is personal data itself is not shown."""
    steps = (MARK if _is_personal(step) else step for step in map(str, path))
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _scrub_text(text: str, key: str, path: tuple[str | int, ...], removed: dict[str, str]) -> Any:
    new, reason = _without(text, an_id=_ID_KEY.fullmatch(key) is not None)
    if reason:
        removed[_pointer(path)] = reason
    return new


def _without(text: str, *, an_id: bool) -> tuple[Any, str]:
    """The text without personal data, and what it was; an empty reason if there was none."""
    if not an_id and _DIGEST.fullmatch(text):
        return _GONE, "digest"
    if "://" in text and not any(map(str.isspace, text)):
        url, taken = scrub_url(text, keep_click_ids=True)
        return url, ("email" if has_email(decoded(text)) else "name") if taken else ""
    plain = decoded(text)
    email, phone = has_email(plain), not an_id and has_phone(plain)
    if not email and not phone:
        return text, ""
    cut = without_personal(text, MARK, phones=phone)
    rest = decoded(cut)
    nothing_left = has_email(rest) or (phone and has_phone(rest)) or not cut.replace(MARK, "").strip(" ,;<>\"'()")
    return _GONE if nothing_left else cut, "email" if email else "phone"
