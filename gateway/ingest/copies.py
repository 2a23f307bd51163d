"""Two copies of one event, from a page and from a server: what both say goes out once.

The first copy waits a while for the other, where both are expected; what the other adds is then filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.ingest.join import gives_consent
from gateway.privacy.sealing import NO_KEYS, PAYLOAD, Keyring

if TYPE_CHECKING:
    from gateway.config import Source

#: Events of which a page and a server both tell, under one id.
TWICE_TOLD = frozenset({"Purchase"})

#: Parts of an event that are filled in key by key. What stands for the whole event is the first copy's.
PARTS = ("user_data", "custom_data", "app", "messaging", "original_event", "context")
#: An amount is in its own copy's currency: both come from one.
_MONEY = frozenset(("value", "currency"))
#: Texts that the first copy may lack altogether.
WHOLE = ("event_source_url", "referrer_url")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Copy:
    """What an event has for the other copy of itself."""

    payload: Mapping[str, Any]
    clear: Mapping[str, Any]
    source: str
    #: What it denies is a page's default, which its visitor has not answered yet.
    unanswered: bool = False
    keyring: Keyring = field(default=NO_KEYS, repr=False)

    def agrees(self, payload: bytes, *, or_silent: bool = False) -> bool:
        """Whether the stored first copy says the same of consent, `or_silent`: or nothing.

        Only then one may add to the other: what one denies in part must not go with what the other allows.
        """
        first = _decode(self.keyring.open(payload, PAYLOAD))
        said = first.get("consent", {})
        same = said == self.payload["consent"] or (or_silent and not gives_consent(said))
        return bool(same and first.get("test") == self.payload.get("test"))

    def counts_beside(self, payload: bytes) -> bool:
        """Whether what this copy says of consent holds for the stored first copy: no default outweighs an answer."""
        return not (self.unanswered and gives_consent(_decode(self.keyring.open(payload, PAYLOAD)).get("consent", {})))

    def signals_beside(self, payload: bytes) -> str:
        """For the ledger, as JSON: those of a stored first copy that says nothing, and what this one denies."""
        region = _decode(self.keyring.open(payload, PAYLOAD)).get("region")
        own = {"region": region} if region is not None else {}
        return _encode({"copy": self.payload["consent"], **own}).decode()

    def filled_in(self, payload: bytes, clear: bytes | None, *, consents: bool = False) -> tuple[bytes, bytes | None]:
        """The stored first copy with what this one adds, both parts ready to be stored.

        `consents`: it is this copy's consent under which the event goes. Raises `Unopened` for what is sealed under a
        key that is not there.
        """
        first = _decode(self.keyring.open(payload, PAYLOAD))
        kept = _decode(self.keyring.open(clear, bound_to(payload))) if clear is not None else {}
        merged, added = {**first}, [f"user_data.{key.partition(':')[0]}" for key in self.clear if key not in kept]
        for part in PARTS:
            theirs, own = self.payload.get(part, {}), first.get(part, {})
            if part == "custom_data" and not _MONEY.isdisjoint(own):
                theirs = {key: value for key, value in theirs.items() if key not in _MONEY}
            if more := [key for key in theirs if key not in own]:
                merged[part] = {**theirs, **own}
                added += [f"{part}.{key}" for key in more]
        for name in WHOLE:
            if not first.get(name) and self.payload.get(name):
                merged[name] = self.payload[name]
                added.append(name)
        merged["digests"] = _both(first.get("digests", {}), self.payload.get("digests", {}))
        added += [
            f"digests.{key.partition(':')[0]}" for key in merged["digests"] if key not in first.get("digests", {})
        ]
        mine = {"by": "copy", "at": self.payload["received_at"], "source": self.source}
        theirs = {path: one for path, one in self.payload.get("joined", {}).items() if consents or path in added}
        from_visits = {**theirs, **first.get("joined", {})}
        if joined := {**dict.fromkeys(added, mine), **from_visits}:
            merged["joined"] = joined
        if consents:
            merged["consent"], merged["region"] = self.payload["consent"], self.payload["region"]
        sealed = self.keyring.seal(_encode(merged), PAYLOAD)
        together = {**self.clear, **kept}
        return sealed, self.keyring.seal(_encode(together), bound_to(sealed)) if together else None


def _both(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[str]]:
    """Digests of both, each once: two addresses of one customer are both hers."""
    return {label: list(dict.fromkeys((*first.get(label, ()), *other.get(label, ())))) for label in {**first, **other}}


def bound_to(payload: bytes) -> bytes:
    """What binds the short-lived part to its event: how the payload ends, which is a tag where it is sealed."""
    return b"clear" + payload[-16:]


def hold_s(event_name: str, source: Source) -> float:
    """For how long an event waits for its other copy, in seconds."""
    return source.copy_wait_s if event_name in TWICE_TOLD else 0.0
