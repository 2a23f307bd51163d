"""Whose request it is: the key that it brings, looked up without telling how near a wrong one came."""

from __future__ import annotations

import binascii
import hashlib
import secrets
from base64 import b64decode
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from gateway.config import Source
from gateway.ingest.problem import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


#: What a 401 says about how a key is to be brought (RFC 9110 § 11.6.1).
CHALLENGE = 'Bearer realm="gateway", Basic realm="gateway"'


class Kind(Enum):
    """What a key opens."""

    SECRET = "a write key"  # noqa: S105  # what it is called
    PUBLIC = "a public key"
    ADMIN = "the admin token"


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a key belongs to."""

    #: `None`: the operator, with the admin token.
    source: Source | None
    kind: Kind


class KeyRefused(RequestRefused):
    """The key is missing, unknown (401), or of the wrong kind for this door (403)."""


class Keys:
    """All sources' keys.

    They are kept as digests under a secret that each process draws anew. A lookup compares digests that a caller cannot
    foresee, so that its time says nothing about the keys.
    """

    __slots__ = ("_holders", "_secret", "has_admin")

    def __init__(self, sources: Iterable[Source], admin_tokens: Collection[str] = ()) -> None:
        self._secret = secrets.token_bytes(32)
        self._holders: dict[bytes, Holder] = {}
        #: Whether there is an admin token at all.
        self.has_admin = bool(admin_tokens)
        for token in admin_tokens:
            self._holders[self._digest(token.encode())] = Holder(None, Kind.ADMIN)
        for source in sources:
            for kind, keys in ((Kind.SECRET, source.write_keys), (Kind.PUBLIC, source.public_keys)):
                for key in keys:
                    self._holders[self._digest(key.encode())] = Holder(source, kind)

    def source(self, key: bytes | None, kind: Kind) -> Source:
        """The source that a key of this kind belongs to. Raises `KeyRefused`."""
        source = self._holder(key, kind).source
        if source is None or source.kind != "events":
            raise KeyRefused(403, "wrong_kind_of_source", "this source takes webhooks only")
        return source

    def any_source(self, key: bytes | None) -> tuple[Source, Kind]:
        """The source that a key belongs to, and of which of the two kinds it is. Raises `KeyRefused`."""
        holder = self._known(key)
        if holder.source is None:
            raise KeyRefused(403, "wrong_kind_of_key", f"this is {holder.kind.value}; here a source's key is needed")
        return self.source(key, holder.kind), holder.kind

    def may_erase(self, key: bytes | None) -> Source | None:
        """Pass for a write key, whose source is returned, and for the admin token. Raises `KeyRefused`."""
        holder = self._known(key)
        if holder.kind is Kind.PUBLIC:
            raise KeyRefused(403, "wrong_kind_of_key", "this is a public key; a write key or the admin token is needed")
        return self.source(key, Kind.SECRET) if holder.source is not None else None

    def admin(self, key: bytes | None) -> None:
        """Pass for the admin token. Raises `KeyRefused`."""
        self._holder(key, Kind.ADMIN)

    def _holder(self, key: bytes | None, kind: Kind) -> Holder:
        holder = self._known(key)
        if holder.kind is not kind:
            raise KeyRefused(403, "wrong_kind_of_key", f"this is {holder.kind.value}; here {kind.value} is needed")
        return holder

    def _known(self, key: bytes | None) -> Holder:
        if not key:
            raise KeyRefused(
                401,
                "missing_key",
                "no key: send `Authorization: Bearer KEY` or `X-Write-Key`, or what the door has for it",
            )
        holder = self._holders.get(self._digest(key))
        if holder is None:
            raise KeyRefused(401, "unknown_key", "nobody has this key")
        return holder

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, key=self._secret, digest_size=16).digest()


def key_in(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The key that a request's headers bring: Bearer, the user name of Basic, or `X-Write-Key`."""
    authorization = headers.get(b"authorization")
    if authorization is None:
        return headers.get(b"x-write-key")
    scheme, _, rest = authorization.partition(b" ")
    scheme = scheme.lower()
    if scheme == b"bearer":
        return rest.strip()
    if scheme == b"basic":
        return _user_name(rest.strip())
    return headers.get(b"x-write-key")


def _user_name(encoded: bytes) -> bytes | None:
    try:
        return b64decode(encoded, validate=True).partition(b":")[0]
    except binascii.Error:
        return None
