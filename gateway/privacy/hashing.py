"""From raw identifiers to digests: after this step, personal data in the clear no longer exists.

SHA-256 over UTF-8, lower-case hex, without salt: what all platforms match on. Each match key is hashed once for each
distinct rule that some configured destination declares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.model.errors import ConfigError, Fault
from gateway.model.event import MATCH_KEYS
from gateway.privacy import phones
from gateway.privacy.normalize import AGREED, NOWHERE, RULES, Place, RuleFunction
from gateway.privacy.places import country_code

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Match keys that a destination may ask for unhashed.
CLEAR_KEYS = frozenset(("city", "state", "zip", "country"))

#: Keys with few distinct values, none of which says who somebody is. Only these are ever cached.
CACHED_KEYS = CLEAR_KEYS | {"gender"}

#: Digests of nothing: what some sites send for a visitor without the value.
EMPTY_DIGEST = sha256(b"").hexdigest()

_MATCH_KEYS = frozenset(MATCH_KEYS)
_DIGEST = re.compile(r"[0-9a-f]{64}")
DIGEST_LENGTH = 64


class _Labels(dict[int, str]):
    """Bits of rules → `email:email_plain+email_gmail`, written once."""

    def __init__(self, key: str, rules: tuple[str, ...]) -> None:
        super().__init__()
        self._key, self._rules = key, rules

    def __missing__(self, bits: int) -> str:
        rules = (rule for at, rule in enumerate(self._rules) if bits >> at & 1)
        label = self[bits] = f"{self._key}:{'+'.join(rules)}"
        return label


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """What is to be made of one key. Compared and hashed by identity, to be a cheap key of a cache."""

    key: str
    #: (bit of the rule, rule, its function).
    digests: tuple[tuple[int, str, RuleFunction], ...]
    #: Bits of rules that agree → key of `Hashed.digests`.
    labels: _Labels
    #: The text that all rules make of an ordinary value, `None` of another, and their label together.
    agreed: Callable[[str], str | None] | None
    together: str
    #: (key of `Hashed.clear`, rule's function).
    clear: tuple[tuple[str, RuleFunction], ...]
    cached: bool
    #: Rules that write the value differently, so that a ready-made digest fits only one of them.
    ambiguous: bool


@dataclass(frozen=True)
class DigestPlan:
    """The union of the rules that destinations declare."""

    #: Match key, or another key of `user_data`, → names of rules.
    digests: Mapping[str, tuple[str, ...]]
    #: Match key → names of rules for what is kept unhashed.
    clear: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, declared: Iterable[tuple[Mapping[str, str], Mapping[str, str]]]) -> DigestPlan:
        """The plan for destinations, each given as its (`digests`, `clear`). Raises `ConfigError` on unknown rules."""
        digests: dict[str, tuple[str, ...]] = {}
        clear: dict[str, tuple[str, ...]] = {}
        for hashed, unhashed in declared:
            for key, rule in hashed.items():
                _add(digests, key, rule)
            for key, rule in unhashed.items():
                if key not in CLEAR_KEYS:
                    raise ConfigError(f"{key} cannot be sent unhashed; only {', '.join(sorted(CLEAR_KEYS))} can")
                _add(clear, key, rule)
        return cls(digests, clear)

    @classmethod
    def all(cls, declared: Iterable[tuple[Mapping[str, str], Mapping[str, str]]] = ()) -> DigestPlan:
        """Every rule for the keys it is for, and what destinations declare besides."""
        usual: list[tuple[Mapping[str, str], Mapping[str, str]]] = [
            ({key: rule.name}, {}) for rule in RULES.values() for key in rule.keys
        ]
        return cls.of([*declared, *usual])

    @cached_property
    def steps(self) -> tuple[tuple[str, _Step], ...]:
        """The plan in the form that hashing runs through: each key with what is to be made of it."""
        keys = {**self.digests, **self.clear}
        return tuple((key, _step(key, self.digests.get(key, ()), self.clear.get(key, ()))) for key in keys)


def _add(rules: dict[str, tuple[str, ...]], key: str, rule: str) -> None:
    if rule not in RULES:
        near = get_close_matches(rule, RULES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(RULES)}"
        raise ConfigError(f"there is no rule {rule!r} for {key}{hint}")
    if rule not in rules.get(key, ()):
        rules[key] = (*rules.get(key, ()), rule)


def _step(key: str, rules: tuple[str, ...], clear: tuple[str, ...]) -> _Step:
    agreed, among = AGREED.get(key, (None, frozenset()))
    labels = _Labels(key, rules)
    return _Step(
        key=key,
        digests=tuple((1 << at, rule, RULES[rule].function) for at, rule in enumerate(rules)),
        labels=labels,
        agreed=agreed if among.issuperset(rules) and not clear else None,
        together=labels[(1 << len(rules)) - 1],
        clear=tuple((f"{key}:{rule}", RULES[rule].function) for rule in clear),
        cached=key in CACHED_KEYS,
        ambiguous=key == "phone" and len(rules) > 1,
    )


class Hashed(NamedTuple):
    """What remains of `user_data`."""

    #: What is not a match key, as it came.
    rest: dict[str, Any]
    #: `email:email_plain+email_gmail` → digests in the order given, each once; rules that agree share an entry.
    digests: dict[str, tuple[str, ...]]
    #: `city:city_compact` → the first value, normalised.
    clear: dict[str, str]
    warnings: tuple[Fault, ...]


def rules_of(label: str) -> tuple[str, frozenset[str]]:
    """A key of `Hashed.digests` taken apart: the match key and the rules."""
    key, _, rules = label.partition(":")
    return key, frozenset(rules.split("+"))


def hash_user_data(user_data: Mapping[str, Any], plan: DigestPlan, default_country: str | None) -> Hashed:
    """Hash all match keys as the plan says and drop them.

    `user_data`: as posted, a value or a list of values for each key. `default_country`: ISO alpha-2 of the source, for
    phone numbers, states and postcodes of events without a country. A value of 64 hex digits is taken as a digest.
    What cannot be normalised is left out with a warning, which never holds the value.
    """
    place = _place_of(user_data, default_country)
    digests: dict[str, tuple[str, ...]] = {}
    clear: dict[str, str] = {}
    warnings: list[Fault] = []
    for key, step in plan.steps:
        if key not in user_data:
            continue
        value = user_data[key]
        if type(value) is str and len(value) < DIGEST_LENGTH:  # nearly always
            agreed = step.agreed
            if agreed is not None and (text := agreed(value)) is not None:
                digests[step.together] = (sha256(text.encode()).hexdigest(),)
                continue
            if step.cached:
                found, plain, refused = _cached(step, value, place.country)
                digests.update(found)
                if plain:
                    clear.update(plain)
            else:
                refused = _hash_text(step, value, place, digests, clear)
            if refused is not None and value and not value.isspace():
                warnings.append(_refusal(step, refused, value, place, f"/user_data/{step.key}"))
        else:
            _hash_values(step, value, place, digests, clear, warnings)
    rest = {key: value for key, value in user_data.items() if key not in _MATCH_KEYS}
    return Hashed(rest, digests, clear, tuple(warnings))


def _place_of(user_data: Mapping[str, Any], default_country: str | None) -> Place:
    """The event's own country, the default where it has none. One that cannot be read is no reason to guess."""
    own = user_data.get("country") or default_country
    if own is None:
        return NOWHERE
    if isinstance(own, str):
        return _place(own if not own.isspace() else default_country)
    found = (_place(one) for one in own if isinstance(one, str)) if isinstance(own, list | tuple) else ()
    return next((place for place in found if place.country), NOWHERE)


@lru_cache(maxsize=2048)
def _place(country: str | None) -> Place:
    return NOWHERE if country is None else Place(country_code(country))


def _hash_text(
    step: _Step, text: str, place: Place, digests: dict[str, tuple[str, ...]], clear: dict[str, str]
) -> str | None:
    """Put all that can be made of one raw value into the two; returns the first rule that could not take it."""
    last = refused = None
    bits = 0
    for bit, rule, function in step.digests:
        normalised = function(text, place)
        if normalised is None:
            refused = refused or rule
        elif normalised == last:  # rules often agree: hash once
            bits |= bit
        else:
            if last is not None:
                digests[step.labels[bits]] = (sha256(last.encode()).hexdigest(),)
            last, bits = normalised, bit
    if last is not None:
        digests[step.labels[bits]] = (sha256(last.encode()).hexdigest(),)
    for label, function in step.clear:
        if (normalised := function(text, place)) is not None:
            clear[label] = normalised
    return refused


@lru_cache(maxsize=16384)
def _cached(
    step: _Step, text: str, country: str | None
) -> tuple[dict[str, tuple[str, ...]], dict[str, str], str | None]:
    digests: dict[str, tuple[str, ...]] = {}
    clear: dict[str, str] = {}
    refused = _hash_text(step, text, _place(country), digests, clear)
    return digests, clear, refused


def _hash_values(
    step: _Step,
    value: Any,
    place: Place,
    digests: dict[str, tuple[str, ...]],
    clear: dict[str, str],
    warnings: list[Fault],
) -> None:
    """The general case: a list, an integer, a digest that the sender made."""
    several = isinstance(value, list | tuple)
    by_rule: dict[int, dict[str, None]] = {bit: {} for bit, _, _ in step.digests}
    for at, one in enumerate(value if several else (value,)):
        path = f"/user_data/{step.key}/{at}" if several else f"/user_data/{step.key}"
        text = str(one) if isinstance(one, int) and not isinstance(one, bool) else one
        if text is None or (isinstance(text, str) and not text.strip()):
            continue
        if not isinstance(text, str):
            warnings.append(Fault(path, "not_normalisable", "expected a string or an integer; left out"))
        elif (digest := _ready(text)) is not None:
            if _usable(step, digest, path, warnings):
                for found in by_rule.values():
                    found[digest] = None
        elif refused := _add_digests(step, text, place, by_rule, clear):
            warnings.append(_refusal(step, refused, text, place, path))
    together: dict[tuple[str, ...], int] = {}
    for bit, found in by_rule.items():
        if found:
            together[tuple(found)] = together.get(tuple(found), 0) | bit
    digests.update((step.labels[bits], found) for found, bits in together.items())


def _add_digests(
    step: _Step, text: str, place: Place, by_rule: dict[int, dict[str, None]], clear: dict[str, str]
) -> str | None:
    """One raw value of several; returns the first rule that could not take it."""
    refused = None
    for bit, rule, function in step.digests:
        normalised = function(text, place)
        if normalised is None:
            refused = refused or rule
        else:
            by_rule[bit][sha256(normalised.encode()).hexdigest()] = None
    for label, function in step.clear:
        if (plain := function(text, place)) is not None:
            clear.setdefault(label, plain)
    return refused


def _ready(text: str) -> str | None:
    """The digest that the text is, in lower case; `None` if it is none."""
    digest = text.strip().lower()
    return digest if _DIGEST.fullmatch(digest) else None


def _usable(step: _Step, digest: str, path: str, warnings: list[Fault]) -> bool:
    """Whether a digest that the sender made says anything; warns where it may not."""
    if digest == EMPTY_DIGEST:
        warnings.append(Fault(path, "not_normalisable", "this is the digest of an empty text; left out"))
        return False
    if step.ambiguous:
        message = "already hashed: it matches only on platforms that write the number as you did, with or without +"
        warnings.append(Fault(path, "prehashed_phone", message))
    return True


def _refusal(step: _Step, rule: str, text: str, place: Place, path: str) -> Fault:
    if step.key == "phone" and place.country is None and phones.needs_country(text):
        message = "a national number needs user_data.country or the source's default_country; left out"
        return Fault(path, "phone_without_country", message)
    return Fault(path, "not_normalisable", f"expected {RULES[rule].expects}; left out ({rule})")
