"""Click and browser ids: from the landing page's URL and from first-party cookies to keys of `user_data`.

Values are opaque and case-sensitive: decoded once from a URL, never changed otherwise. Reading any of them needs
`ad_storage`; whoever calls these has asked for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Query parameter → key of `user_data`. Names are read exactly.
PARAMETERS = {
    "fbclid": "fbclid",  # Meta
    "gclid": "gclid",  # Google: one click
    "gbraid": "gbraid",  # Google: app conversions on iOS
    "wbraid": "wbraid",  # Google: web conversions on iOS
    "dclid": "dclid",  # Campaign Manager 360
    "gad_source": "gad_source",
    "gad_campaignid": "gad_campaignid",
    "ttclid": "ttclid",  # TikTok
    "ScCid": "sc_click_id",  # Snapchat; some links write sccid, so that its case does not count
    "epik": "epik",  # Pinterest
    "msclkid": "msclkid",  # Microsoft
    "twclid": "twclid",  # X
    "rdt_cid": "rdt_cid",  # Reddit
    "li_fat_id": "li_fat_id",  # LinkedIn
}

#: Cookies whose value is the id → key of `user_data`.
COOKIES = {
    "_ttp": "ttp",
    "ttclid": "ttclid",
    "_epik": "epik",
    "_pin_unauth": "pin_unauth",
    "_scid": "sc_cookie1",
    "_scclid": "sc_click_id",
    "_rdt_cid": "rdt_cid",
    "_uetvid": "uetvid",
    "twclid": "twclid",
    "li_fat_id": "li_fat_id",
}

#: Google's cookies → key of `user_data`. `_gcl_au` holds no click id. `FPGCL…` are set by a server-side tag manager.
GOOGLE_COOKIES = {
    "_gcl_aw": "gclid",
    "_gcl_dc": "dclid",
    "_gcl_gb": "wbraid",
    "_gcl_ag": "gbraid",
    "_gcl_gs": "gad_source",
    "FPGCLAW": "gclid",
    "FPGCLDC": "dclid",
    "FPGCLGB": "wbraid",
    "FPGCLAG": "gbraid",
    "FPGCLGS": "gad_source",
}

GOOGLE_IDS = frozenset(("gclid", "gbraid", "wbraid", "dclid", "gad_source", "gad_campaignid"))

#: What scripts and people write when there is no id.
GARBAGE = frozenset(("undefined", "null", "none", "nan", "false", "true", "[object object]", "(not set)"))

_OPAQUE = re.compile(r"[!-?A-~]{1,1024}")  # printable ASCII without blanks and @
_GOOGLE_ID = re.compile(r"[A-Za-z0-9_-]{1,512}")
_GOOGLE_TEST = re.compile(r"test[a-z0-9_-]{0,8}", re.IGNORECASE)
_GCL = re.compile(r"(?:GCL|1)\.(\d{1,12})\.(.+)")
_GCL_2 = re.compile(r"2\.\d+\.(?:[^$]*\$)*?k([^$]+)\$(?:[^$]*\$)*?i(\d{1,12})(?:\$.*)?")
_FBC = re.compile(r"fb\.\d\.\d{10,13}\.[!-~]{1,1024}")
_FBP = re.compile(r"fb\.\d\.\d{10,13}\.\d{1,20}(?:\.(?:[A-Za-z0-9_-]{8}|A[Qgw]|B[AQg]))?")
#: The fifth segment that Meta's parameter builder adds.
_APPENDIX = re.compile(r"\.(?:[A-Za-z0-9_-]{8}|A[Qgw]|B[AQg])\Z")


def click_ids_from_url(url: str) -> dict[str, str]:
    """Keys of `user_data` for the click ids in a URL's query, each decoded once; the first usable of several wins."""
    query = url.partition("#")[0].partition("?")[2]
    found: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        key = PARAMETERS.get(name)
        if key is None:
            if len(name) != 5 or name.lower() != "sccid":
                continue
            key = "sc_click_id"
        value = unquote(value) if "%" in value else value
        if key not in found and _usable(key, value):
            found[key] = value
    return found


def ids_from_cookies(cookies: Mapping[str, str]) -> dict[str, str]:
    """Keys of `user_data` for the ids in first-party cookies. Of several for one key, the newest click wins."""
    found: dict[str, str] = {}
    seen_at: dict[str, int] = {}
    for name, value in cookies.items():
        key = GOOGLE_COOKIES.get(name) or ("gclid" if name.startswith("_gac_") else None)
        if key is not None:
            at, click_id = _google_cookie(value)
            if click_id and _usable(key, click_id) and at >= seen_at.get(key, 0):
                found[key], seen_at[key] = click_id, at
        elif name == "_fbc" and valid_fbc(value):
            found["fbc"] = value
        elif name == "_fbp" and valid_fbp(value):
            found["fbp"] = value
        elif name == "_rdt_uuid":  # <ms>.<uuid>
            _put(found, "rdt_uuid", value.rpartition(".")[2])
        elif name == "_uetmsclkid":
            _put(found, "msclkid", value.removeprefix("_uet"))
        elif name in COOKIES:
            _put(found, COOKIES[name], value)
    return found


def click_ids(
    user_data: Mapping[str, Any],
    url: str | None,
    cookies: Mapping[str, str],
    first_seen_s: float,
    landing: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What URL and cookies add to `user_data`, `fbc` included. What the sender gave stands; the URL is the newer click.

    `landing`: what the visit came with, by `landed`; newer than cookies, older than the URL.
    `first_seen_s`: the event's time in Unix seconds, so that a repeat of the event builds the same `fbc`.
    """
    found = ids_from_cookies(cookies) if cookies else {}
    if landing:
        found |= landing
    if url:
        found |= click_ids_from_url(url)
    if found:
        found = {key: value for key, value in found.items() if not user_data.get(key)}
    fbclid = user_data.get("fbclid") or found.get("fbclid")
    if isinstance(fbclid, str) and not user_data.get("fbc"):
        found["fbc"] = fbc_for(fbclid, found.get("fbc"), first_seen_s)
    return found


def landed(query: str, cookies: Mapping[str, str], at_s: float) -> dict[str, str]:
    """Keys of `user_data` for the click ids in the query that a visit began with at `at_s`; of `fbclid`, `fbc`."""
    found = click_ids_from_url(f"?{query}")
    if fbclid := found.pop("fbclid", None):
        found["fbc"] = fbc_for(fbclid, cookies.get("_fbc"), at_s)
    return found


def build_fbc(fbclid: str, first_seen_s: float) -> str:
    """`fb.1.<milliseconds>.<fbclid>`: Meta's click id as a server writes it.

    https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/fbp-and-fbc
    """
    return f"fb.1.{round(first_seen_s * 1000)}.{fbclid}"


def fbc_for(fbclid: str, stored: str | None, first_seen_s: float) -> str:
    """The stored `fbc` if it is of this click (it knows when that was), else a new one."""
    # Whether a short last segment is the appendix or part of the id, only the id can tell.
    if stored is not None and valid_fbc(stored) and fbclid in (stored.split(".", 3)[3], fbc_payload(stored)):
        return stored
    return build_fbc(fbclid, first_seen_s)


def fbc_payload(value: str) -> str:
    """The `fbclid` in a valid `fbc`, without the parameter builder's appendix."""
    return _APPENDIX.sub("", value.split(".", 3)[3])


def valid_fbc(value: str) -> bool:
    """`fb.<level>.<milliseconds>.<fbclid>`, with or without the parameter builder's appendix. Case counts."""
    return _FBC.fullmatch(value) is not None


def valid_fbp(value: str) -> bool:
    """`fb.<level>.<milliseconds>.<digits>`, with or without the parameter builder's appendix. Case counts."""
    return _FBP.fullmatch(value) is not None


def _put(found: dict[str, str], key: str, value: str) -> None:
    if _usable(key, value):
        found[key] = value


def _usable(key: str, value: str) -> bool:
    if value.lower() in GARBAGE:
        return False
    if key in GOOGLE_IDS:  # real ones are longer than what people type to try a link
        return _GOOGLE_ID.fullmatch(value) is not None and _GOOGLE_TEST.fullmatch(value) is None
    return _OPAQUE.fullmatch(value) is not None


def _google_cookie(value: str) -> tuple[int, str]:
    """(Unix seconds of the click, id); an empty id if the cookie holds none."""
    text = unquote(value) if "%" in value else value
    if match := _GCL.fullmatch(text):
        return int(match[1]), match[2]
    if match := _GCL_2.fullmatch(text):
        return int(match[2]), match[1]
    return 0, ""
