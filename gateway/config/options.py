"""The keys that every destination takes → fields of an `Instance`; see `$defs/destination` in the schema.

Each function gets a table that fits the schema, with the defaults filled in, and adds what the schema cannot say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.config import values
from gateway.config.faults import Faults, KeyPath, hint
from gateway.plugin.destination import Destination, FollowUp, Retry
from gateway.privacy.normalize import RULES
from gateway.privacy.signals.heard import Vendor

if TYPE_CHECKING:
    from collections.abc import Mapping

A = TypeVar("A", Retry, FollowUp)


#: Key → field and whether it may be 0.
_TIMES = {"first": ("first_s", True), "max": ("max_s", False), "give_up": ("give_up_s", False)}


def seconds(value: float | str, faults: Faults, at: KeyPath, *, zero: bool = False) -> float:
    """A duration; 0 only if it means something there."""
    found = values.reading(values.duration, value, faults, at, 1.0)
    if found == 0 and not zero:
        faults.add(at, "expected more than 0 seconds")
    return found


def limits(destination: Destination, table: Mapping[str, Any], faults: Faults, at: KeyPath) -> dict[str, Any]:
    """Batch, time, rate and age: the plugin's limits, changed. More than a platform takes at once is a fault."""
    own = destination.limits
    batch = table.get("batch_size", own.batch)
    if batch > own.batch:
        faults.add((*at, "batch_size"), f"expected at most {own.batch}: the platform takes no more in one request")
    age = seconds(table["max_age"], faults, (*at, "max_age")) if "max_age" in table else None
    if age is not None and own.max_age_s is not None and age > own.max_age_s:
        faults.add((*at, "max_age"), f"expected at most {own.max_age_s / 86400:g}d: the platform takes nothing older")
    return {
        "batch_size": batch,
        "max_age_s": age,
        "max_concurrency": table.get("max_concurrency", own.concurrency),
        "timeout_s": seconds(table.get("timeout", own.timeout_s), faults, (*at, "timeout")),
        "linger_s": seconds(table.get("batch_linger", own.linger_s), faults, (*at, "batch_linger"), zero=True),
        "rate": values.reading(values.rate, table["rate_limit"], faults, (*at, "rate_limit"), 1.0)
        if "rate_limit" in table
        else own.rate,
        "burst": None if "rate_limit" in table else own.burst,
    }


def times(usual: A, table: Mapping[str, Any], faults: Faults, at: KeyPath) -> A:
    """`retry` or `follow_up`: the plugin's clock with the operator's times in it."""
    changes: dict[str, Any] = {
        field: seconds(table[key], faults, (*at, key), zero=zero)
        for key, (field, zero) in _TIMES.items()
        if key in table
    }
    changes |= {"factor": table["factor"]} if "factor" in table else {}
    clock = replace(usual, **changes)
    if changes and clock.first_s > clock.max_s:
        faults.add(at, f"`first` ({clock.first_s:g} s) is longer than `max` ({clock.max_s:g} s)")
    return clock


def follow_up(destination: Destination, table: Mapping[str, Any], faults: Faults, at: KeyPath) -> FollowUp | None:
    """When the platform is asked for the outcome; `None` where it tells at once."""
    if destination.follow_up is None:
        if table:
            faults.add(at, f"the plugin {destination.name} asks no questions later; remove the key")
        return None
    return times(destination.follow_up, table, faults, at)


def digests(destination: Destination, table: Mapping[str, str], faults: Faults, at: KeyPath) -> dict[str, str]:
    """Match key → rule: the plugin's, changed. Both must be known."""
    for key, rule in table.items():
        if key not in destination.digests:
            faults.add(
                (*at, key), f"the plugin {destination.name} sends no digest of it{hint(key, destination.digests)}"
            )
        elif rule not in RULES:
            faults.add((*at, key), f"there is no rule {rule}{hint(rule, RULES)}")
    return {**destination.digests, **table}


def requires(destination: Destination, table: Mapping[str, Any], faults: Faults, at: KeyPath) -> frozenset[str]:
    """The purposes that must not be missing. An ad platform always needs one for ads."""
    purposes = frozenset(table.get("requires", destination.purposes))
    if _for_ads(destination.purposes) and not _for_ads(purposes):
        faults.add((*at, "requires"), "expected one of ad_user_data, ad_storage, ad_personalization among them")
    return purposes


def vendor(table: Mapping[str, Any]) -> Vendor:
    """Who the destination is in consent strings."""
    return Vendor(table.get("tcf_vendor"), table.get("atp_id"), table.get("tcf_purposes_only", False))


def _for_ads(purposes: frozenset[str] | set[str]) -> bool:
    return any(purpose.startswith("ad_") for purpose in purposes)


def check_test_mode(destination: Destination, config: Mapping[str, Any], faults: Faults, at: KeyPath) -> None:
    """`test_mode = true` only where a test does not count as real."""
    if destination.accepts_test is None:
        faults.add(at, f"the plugin {destination.name} has no test mode; remove the key")
    elif not destination.accepts_test(config):
        keys = [key for key in destination.config_schema["properties"] if "test" in key and key not in config]
        missing = f"; set {' or '.join(keys)}" if keys else f"; see {destination.docs}"
        faults.add(at, f"the platform would count the events as real{missing}")
