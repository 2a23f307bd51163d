"""Whom an event is about, as pseudonyms: by them a person's events are found, without anything that says who it is.

A pseudonym is 64 bits of a keyed BLAKE2b (RFC 7693: a message authentication code, at a third of what HMAC-SHA-256
costs) of an identifier's name and digest. The key lies apart from the database. One person has several: one for each
identifier and each rule that writes it in its own way.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.privacy.hashing import DigestPlan, hash_user_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.model.errors import Fault

#: What names a person.
IDENTIFIERS = ("email", "phone", "external_id", "anonymous_id")
#: Each as BLAKE2b's personalisation, so that one digest under two names makes two pseudonyms.
_PERSONAL = {name: name.encode() for name in IDENTIFIERS}
#: Every rule by which a digest of each may have been made, by us or by a sender who hashes.
_EVERY_RULE: Mapping[str, tuple[str, ...]] = {
    "email": ("email_plain", "email_gmail"),
    "phone": ("phone_digits", "phone_e164"),
    "external_id": ("id_trimmed", "id_lowercase"),
    "anonymous_id": ("id_trimmed", "id_lowercase"),
}


class Person(NamedTuple):
    """Somebody whom a request names by identifiers."""

    pseudonyms: tuple[int, ...]
    #: Identifiers that could not be read, as for an event.
    warnings: tuple[Fault, ...]


def pseudonym(key: bytes, identifier: str, digest: str) -> int:
    """One of a person's: a signed number of 64 bits. `digest`: lower-case hex."""
    made = blake2b(digest.encode(), digest_size=8, key=key, person=identifier.encode())
    return int.from_bytes(made.digest(), "little", signed=True)


def pseudonyms(key: bytes, digests: Mapping[str, tuple[str, ...]]) -> tuple[int, ...]:
    """Those of an event's digests, by rule (see `Event.digests`) or by key."""
    found: dict[int, None] = {}
    for label, made in digests.items():
        personal = _PERSONAL.get(label.partition(":")[0])
        if personal is not None:
            for digest in made:
                hashed = blake2b(digest.encode(), digest_size=8, key=key, person=personal)
                found[int.from_bytes(hashed.digest(), "little", signed=True)] = None
    return tuple(found)


def unasked(plan: DigestPlan) -> DigestPlan:
    """What is to be digested beside a plan, so that an event has the pseudonyms of every rule.

    Otherwise it would depend on the destinations who is found: somebody may be named by a digest that only another
    platform's rule makes, and destinations come and go.
    """
    left = {
        key: tuple(rule for rule in rules if rule not in plan.digests.get(key, ()))
        for key, rules in _EVERY_RULE.items()
    }
    return DigestPlan({key: rules for key, rules in left.items() if rules}, {})


def person(key: bytes, user_data: Mapping[str, Any], default_country: str | None = None) -> Person:
    """Somebody by identifiers, in the clear or hashed by any rule, each a value or a list of values."""
    named = {name: value for name, value in user_data.items() if name in IDENTIFIERS or name == "country"}
    hashed = hash_user_data(named, _every_rule(), default_country)
    warnings = tuple(one for one in hashed.warnings if one.code != "prehashed_phone")  # every rule is asked for here
    return Person(pseudonyms(key, hashed.digests), warnings)


@cache
def _every_rule() -> DigestPlan:
    return DigestPlan(_EVERY_RULE, {})
