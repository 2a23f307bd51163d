"""`[sources.NAME.browser]`: the first-party cookies that the gateway sets for the pages of a source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.config import values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.config.faults import Faults, KeyPath

#: Seconds: what browsers keep a cookie for at most is 400 days, what European regulators find proportionate 13 months.
LONGEST_S = 395 * 86400.0

#: Two names or more: a cookie for all of `com` is refused by every browser, in silence.
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserCookies:
    """What is set on answers to a page, under consent."""

    #: Cookies of platforms that are set: `_fbc`, `_fbp`.
    cookies: tuple[str, ...] = ("_fbc",)
    #: The cookie of the visitor's id; empty: there is none.
    visitor_cookie: str = "cg_visitor"
    #: The site, so that all of its hosts see the cookies; `None`: the gateway's own host alone.
    cookie_domain: str | None = None
    #: Seconds without a visit after which they are gone.
    cookie_max_age_s: float = 90 * 86400.0


def browser(table: Mapping[str, Any], origins: Iterable[str], faults: Faults, at: KeyPath) -> BrowserCookies:
    """The table, which fits the schema, its defaults filled in. `origins`: of the pages."""
    age = values.reading(values.duration, table["cookie_max_age"], faults, (*at, "cookie_max_age"), 86400.0)
    if not 60 <= age <= LONGEST_S:
        faults.add((*at, "cookie_max_age"), 'expected "1m" to "395d": no cookie may stay longer')
    domain = None
    if "cookie_domain" in table:
        domain = values.reading(_domain, table["cookie_domain"], faults, (*at, "cookie_domain"), None)
    hosts = [host for one in origins if (host := urlsplit(one).hostname)]
    if domain and hosts and not any(f".{host}".endswith(f".{domain}") for host in hosts):
        faults.add((*at, "cookie_domain"), "none of `origins` is in this domain: no page would see the cookies")
    return BrowserCookies(
        cookies=tuple(dict.fromkeys(table["cookies"])),
        visitor_cookie=table["visitor_cookie"],
        cookie_domain=domain,
        cookie_max_age_s=age,
    )


def _domain(text: str) -> str:
    found = text.lower().removeprefix(".")
    if _DOMAIN.fullmatch(found) is None:
        raise ValueError('expected a domain with a dot in it, like "shop.example"')
    return found
