"""What is remembered of a visit, and what of it joins an event that comes later without a browser. Pure.

An order that a shop's server reports knows its customer and not their click. It shares an id with the visit: the
browser's, the customer's, the cart's, the order's own, or the digest of an address. Under each of them is remembered
what the visit told, by field, each with the time and the source that it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.model.event import CLICK_IDS
from gateway.privacy.consent import PURPOSES, STRINGS
from gateway.privacy.hashing import DigestPlan, hash_user_data
from gateway.privacy.identity import pseudonym
from gateway.privacy.sealing import NO_KEYS, Keyring, Unopened

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What a visit is found by, the surest first: an order is one visit's, an address may be a family's. Under the last
#: stands the consent of an order alone, for as long as the order itself is kept: a refund comes weeks later.
KINDS = ("order_id", "cart_token", "anonymous_id", "external_id", "email", "order")
#: Key of `context` by which a visit is found. It opens a cart in some shops: it is not stored.
CART = "cart_token"
#: Those of them that name a person, and are in `user_data` → the rule by which they do: one is enough.
_PERSONAL = {"anonymous_id": "id_trimmed", "external_id": "id_trimmed", "email": "email_plain"}

#: Keys of `user_data` that say which browser it was and what it came by; the last two stand for a page's visitor only.
_BROWSER = ("client_ip_address", "client_user_agent")
FIELDS = (*(key for key in CLICK_IDS if key != "fbclid"), "anonymous_id", "language", *_BROWSER)
#: Paths of those that only a page's event has.
OF_A_PAGE = frozenset({"event_source_url", *(f"user_data.{key}" for key in _BROWSER)})
_CLICK_PATHS = frozenset(f"user_data.{key}" for key in CLICK_IDS)
#: Path of what a page's defaults denied before its visitor had answered: it counts where nobody has answered.
UNANSWERED = "unanswered"
#: Begins the path of what was said of a person: `digests.email`.
DIGESTS = "digests."

#: What a visit's row is sealed for.
SEALED = b"visit"
#: How far behind an event something may have been seen, in seconds: the page that thanks for an order comes after it.
AFTERWARDS_S = 3600.0


#: What is told again within this part of the retention is not written again.
FRESH = 16


class Key(NamedTuple):
    """One way to find a visit."""

    #: One of `KINDS`.
    kind: str
    #: A pseudonym; of a person's id the same that their events have.
    who: int
    #: Within what it means the same visit.
    scope: int


class Told(NamedTuple):
    """One thing that a visit told."""

    value: Any
    #: When, Unix seconds.
    at: float
    #: The source's name.
    source: str


#: What is remembered under one key: dotted canonical path → what was told.
Memory = dict[str, Told]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Told]).decode


@dataclass(frozen=True, slots=True)
class Visit:
    """What an event has to add to what is remembered."""

    keys: Sequence[Key]
    told: Memory
    #: When it came in, Unix seconds, and for how long what was told is remembered from then on, in seconds.
    received_at: float
    retention_s: float
    #: The same of an order's consent.
    order_retention_s: float
    #: The pseudonyms by which whoever it is may withdraw or be erased.
    people: Sequence[int] = ()
    #: The visitor said no to click ids; `everything`: to all.
    forget_clicks: bool = False
    forget_everything: bool = False
    keyring: Keyring = field(default=NO_KEYS, repr=False)

    @property
    def spreads(self) -> bool:
        """Whether it says something that holds under every id of the visitor: what they allow."""
        return self.forget_clicks or self.forget_everything or "consent" in self.told

    @property
    def says_no(self) -> bool:
        """Whether it takes something back."""
        return (
            self.forget_clicks
            or self.forget_everything
            or ("consent" in self.told and refuses(self.told["consent"].value))
        )

    def after(self, kind: str, stored: bytes | None) -> bytes | None:
        """A row's new content, which is `stored` itself where nothing is new; `None` when nothing is left."""
        before, told = opened(stored, self.keyring), self._told(kind)
        if stored is not None and self._is_known(before, told):
            return stored
        since = self.received_at - self._retention_s(kind)
        kept = self._left({path: one for path, one in before.items() if one.at >= since})
        if kind == "anonymous_id" and any(path.startswith(DIGESTS) for path in told):
            # somebody else may use the browser now
            kept = {path: one for path, one in kept.items() if not path.startswith(DIGESTS)}
        return self._sealed(_newest(kept, told))

    def spread(self, stored: bytes) -> bytes:
        """The new content of another row of the same visitor: what they allow now, and no more than that leaves."""
        before = opened(stored, self.keyring)
        kept = self._left(before)
        if said := self.told.get("consent"):
            kept = _newest(kept, {"consent": said})
        return stored if kept == before else self._sealed(kept) or stored

    def expires_at(self, kind: str) -> float:
        """Until when a row is remembered, Unix seconds."""
        return self.received_at + self._retention_s(kind)

    @property
    def person_expires_at(self) -> float:
        """Until when it is remembered whose it is: as long as any of its rows."""
        return max((self.expires_at(key.kind) for key in self.keys), default=self.received_at)

    def _left(self, memory: Memory) -> Memory:
        if self.forget_everything:
            return {path: one for path, one in memory.items() if path == "consent"}
        if self.forget_clicks:
            return {path: one for path, one in memory.items() if path not in _CLICK_PATHS}
        return memory

    def _retention_s(self, kind: str) -> float:
        return max(self.retention_s, self.order_retention_s) if kind == "order" else self.retention_s

    def _told(self, kind: str) -> Memory:
        if kind != "order":
            return self.told
        return {path: one for path, one in self.told.items() if path in ("consent", UNANSWERED)}

    def _is_known(self, before: Memory, told: Memory) -> bool:
        """Whether all of it was told a short while ago: most pages of a visit tell the same."""
        fresh_s = self.retention_s / FRESH
        return self._left(before) == before and all(
            (known := before.get(path)) is not None and known.value == one.value and 0 <= one.at - known.at < fresh_s
            for path, one in told.items()
        )

    def _sealed(self, memory: Memory) -> bytes | None:
        return self.keyring.seal(_encode(memory), SEALED) if memory else None


def _newest(kept: Memory, told: Memory) -> Memory:
    """Both, by path the newer; nothing that was told before the visitor last said no."""
    found = {**kept}
    for path, one in told.items():
        if path not in kept or one.at >= kept[path].at:
            found[path] = one
    no = found.get("consent")
    if no is None or not refuses(no.value):
        return found
    return {path: one for path, one in found.items() if path not in told or told[path].at >= no.at}


def refuses(said: Mapping[str, Any]) -> bool:
    """Whether the visitor was asked and has said what they do not want, or may have in a string."""
    return any(said.get(name) == "denied" for name in PURPOSES) or any(said.get(name) for name in (*STRINGS, "gpc"))


def defaults(said: Mapping[str, Any]) -> bool:
    """Whether it is by flags alone that something is refused, which a page sets before anybody is asked."""
    return refuses(said) and not any(said.get(name) for name in (*STRINGS, "gpc"))


def opened(stored: bytes | None, keyring: Keyring) -> Memory:
    """A row's content; of one that cannot be read, nothing."""
    if stored is None:
        return {}
    try:
        return _decode(keyring.open(stored, SEALED))
    except (Unopened, msgspec.DecodeError):
        return {}


def keys_of(raw: Mapping[str, Any], key: bytes, group: str, orders: str, default_country: str | None) -> list[Key]:
    """What a canonical event can be found by. `group`: within what ids mean the same; `orders`: order ids."""
    found = []
    order_id = raw.get("custom_data", {}).get("order_id")
    if order_id:
        text = str(int(order_id) if isinstance(order_id, float) else order_id)
        found += [Key(kind, pseudonym(key, kind, text), scope(orders)) for kind in ("order_id", "order")]
    cart_token = raw.get("context", {}).get(CART)
    if cart_token and isinstance(cart_token, str):
        found.append(Key("cart_token", pseudonym(key, "cart_token", cart_token), scope(group)))
    user_data = raw.get("user_data", {})
    if not _PERSONAL.keys().isdisjoint(user_data):
        made, within = hash_user_data(user_data, _plan(), default_country).digests, scope(group)
        for kind, rule in _PERSONAL.items():
            found += [Key(kind, pseudonym(key, kind, digest), within) for digest in made.get(f"{kind}:{rule}", ())]
    return sorted(found, key=lambda one: KINDS.index(one.kind))


@cache
def _plan() -> DigestPlan:
    return DigestPlan({name: (rule,) for name, rule in _PERSONAL.items()}, {})


@cache
def scope(text: str) -> int:
    """A scope as a number."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def joining(
    memories: Iterable[tuple[str, Memory]],
    *,
    event_time: float,
    retention_s: float,
    order_retention_s: float,
    page: bool,
) -> dict[str, tuple[str, Told]]:
    """Path → (kind, what was told), of what may join an event; `memories`: the surest first.

    Nothing from after the event, and nothing that was too long ago then. `page`: the event is a page's.
    """
    found: dict[str, tuple[str, Told]] = {}
    for kind, memory in memories:
        for path, told in memory.items():
            if (path in found and not _counts_more(path, told, found[path][1])) or (path in OF_A_PAGE and not page):
                continue
            kept_s = max(retention_s, order_retention_s) if kind == "order" else retention_s
            if event_time - kept_s <= told.at <= event_time + AFTERWARDS_S:
                found[path] = (kind, told)
    if "consent" in found:
        found.pop(UNANSWERED, None)
    return found


def _counts_more(path: str, told: Told, other: Told) -> bool:
    """Whether of two consents one goes before the other that was found by a surer id: a no, then the newer one."""
    if path != "consent":
        return False
    return (refuses(told.value), told.at) > (refuses(other.value), other.at)
