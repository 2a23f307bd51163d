"""First-party cookies: what the snippet's requests bring along, and what is set on the answers to them.

Whether anything may stay on a visitor's device is the gate's to say, by the events of the request: nothing here asks
what consent means.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gateway.config import BrowserCookies
from gateway.ingest.formats.snippet import Envelope
from gateway.ingest.visitor import may_keep
from gateway.privacy.clickids import landed

if TYPE_CHECKING:
    from gateway.ingest.draft import BrowserHints
    from gateway.ingest.pipeline import Taken
    from gateway.web.problem import Headers

#: Cookie of a platform → the key of `user_data` that it holds.
IDS: Mapping[str, str] = {"_fbc": "fbc", "_fbp": "fbp"}

#: What `Sec-Fetch-Site` says of a request that takes the gateway's cookies along and may set them. Older browsers say
#: nothing; they refuse by themselves.
FIRST_PARTY = (b"", b"same-origin", b"same-site")

_VISITOR = re.compile(r"[A-Za-z0-9_-]{16,64}")
#: What a value may consist of: https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]{1,1024}")


@dataclass(slots=True)
class Jar:
    """The cookies of one request, from what it brings to what its answer sets."""

    settings: BrowserCookies
    #: The snippet's envelope; cookies are set for nobody else.
    envelope: Envelope
    #: Cookie name → value, of the request alone.
    sent: Mapping[str, str]
    #: The gateway is of the page's own site.
    first_party: bool
    #: Unix seconds.
    now: float
    visitor: str = ""
    #: An event was taken, so that the gate has been asked.
    observed: bool = False
    #: What the gate said; `None`: nobody has said anything.
    allowed: bool | None = None
    #: What was denied is a default.
    unanswered: bool = False
    user_data: Mapping[str, Any] = field(default_factory=dict)

    def hints(self, hints: BrowserHints, page: Mapping[str, str]) -> BrowserHints:
        """The request's hints with what the page says of the visit, whose cookies are `page`."""
        cookies = {**page, **hints.cookies}
        if self.first_party and "_fbp" in self.settings.cookies and "_fbp" not in cookies:
            cookies["_fbp"] = f"fb.1.{round(self.now * 1000)}.{secrets.randbelow(9 * 10**9) + 10**9}"
        if self.settings.visitor_cookie:
            self.visitor = (self.first_party and visitor_of(self.settings, self.sent)) or secrets.token_hex(16)
        landed_at = self.now if (at := self.envelope.landed_at) is None else at + self.envelope.skew_s(self.now)
        fresh = self.now - self.settings.cookie_max_age_s < landed_at <= self.now + 60
        landing = landed(self.envelope.landing, cookies, landed_at) if fresh and self.envelope.landing else {}
        visitor = self.visitor or None
        return replace(hints, cookies=cookies, visitor=visitor, landing=landing, pending=self.envelope.pending)

    def observe(self, taken: Sequence[Taken]) -> None:
        """Take the gate's word from the newest of the events."""
        drafts = [one.draft for one in taken if one.record is not None]
        if drafts:
            newest = max(drafts, key=lambda draft: draft.event_time)
            self.observed, self.allowed, self.user_data = True, may_keep(newest), newest.user_data
            self.unanswered = newest.unanswered

    @property
    def refused(self) -> bool:
        """Whether the visitor has said no, rather than nothing."""
        return self.allowed is False and not self.unanswered

    def told(self) -> dict[str, Any]:
        """What the snippet is told: whether it may keep anything, and the visitor's id where no cookie can hold it."""
        if not self.observed:
            return {}
        told: dict[str, Any] = {"storage": "granted" if self.allowed else "denied" if self.refused else "pending"}
        if self.first_party:
            told["cookies"] = True
        if self.allowed and not self.first_party and self.visitor:
            told["anonymous_id"] = self.user_data.get("anonymous_id", self.visitor)
        return told

    def headers(self) -> Headers:
        """What the answer sets: the cookies, for as long again; or their end, once the visitor has said no."""
        if not self.first_party:
            return []
        if self.allowed:
            wanted = {name: self.user_data.get(IDS[name]) for name in self.settings.cookies}
            return [
                *(
                    [_set(self.settings, self.settings.visitor_cookie, self.visitor, hidden=True)]
                    if self.visitor
                    else []
                ),
                *(_set(self.settings, name, str(value)) for name, value in wanted.items() if _fits(value)),
            ]
        return ended(self.settings, self.sent) if self.refused else []


def ended(settings: BrowserCookies, sent: Mapping[str, str], *, ids: bool = True) -> Headers:
    """The end of the cookies that a request brought: of the visitor's, and with `ids` of the platforms'."""
    names = (settings.visitor_cookie, *(settings.cookies if ids else ()))
    return [_set(settings, name, "", hidden=name == settings.visitor_cookie) for name in names if name and name in sent]


def visitor_of(settings: BrowserCookies, sent: Mapping[str, str]) -> str | None:
    """The visitor whom a request's cookie names."""
    found = sent.get(settings.visitor_cookie, "") if settings.visitor_cookie else ""
    return found if _VISITOR.fullmatch(found) else None


def _fits(value: Any) -> bool:
    return isinstance(value, str) and _VALUE.fullmatch(value) is not None


def _set(settings: BrowserCookies, name: str, value: str, *, hidden: bool = False) -> tuple[bytes, bytes]:
    """A cookie; an empty value ends it. What platforms' own scripts read is not hidden from scripts."""
    age = round(settings.cookie_max_age_s) if value else 0
    domain = f"; Domain={settings.cookie_domain}" if settings.cookie_domain else ""
    only_http = "; HttpOnly" if hidden else ""
    return b"set-cookie", f"{name}={value}; Max-Age={age}; Path=/{domain}; Secure; SameSite=Lax{only_http}".encode()
