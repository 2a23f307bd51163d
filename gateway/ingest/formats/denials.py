"""One answer that stands in two places: a denial in either counts."""

from __future__ import annotations

from typing import Any

#: What is weaker than all else: a denial, and what cannot be read.
_YES: tuple[Any, ...] = ("granted", True)


def both(outer: Any, own: Any) -> Any:
    """What is said of consent for several events, and by one of them for itself: that, but for what either denies.

    Objects are put together key by key, lists one behind the other.
    """
    if own is None or outer is None:
        return outer if own is None else own
    if isinstance(outer, list) and isinstance(own, list):
        return [*outer, *own]
    if isinstance(outer, dict) and isinstance(own, dict):
        found = {key: both(outer.get(key), own.get(key)) for key in {**outer, **own}}
        return {**found, "gpc": True} if True in (outer.get("gpc"), own.get("gpc")) else found
    return outer if own in _YES or isinstance(own, dict | list) else own
