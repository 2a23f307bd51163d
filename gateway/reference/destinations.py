"""The destination reference, made from what plugins declare: `docs/destinations.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.model.event import MATCH_KEYS, STANDARD_NAMES
from gateway.plugin import Bearer, Header, OAuth, Proof, Query, Signature
from gateway.privacy.normalize import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.plugin import Destination, FollowUp, Limits

PAGE = Path(__file__).parent.parent.parent / "docs" / "destinations.md"

#: What TOML calls a JSON type.
TYPES = {"object": "table", "array": "list"}

INTRO = """\
# Destinations

<!-- Made from the plugins by `python -m gateway.reference`: change a plugin, not this page. -->

What the bundled destinations take and send, as each declares it. What an operator can change for any of them stands in
[configuration](configuration.md); how to write another one, in [the plugin guide](../plugins/README.md)."""

EVENTS = """\
## Events

What each platform calls an event. A name in brackets is sent only if `events` asks for it. *Own name*: the event goes
under its canonical name, as custom events do; whether the platform can use it is then for the mapping to say. *As
configured*: the destination's own keys decide. –: the event is not taken."""

KEYS = """\
## Match keys

By which [rule](#rules) a digest is made. *Clear*: sent normalised, but not hashed. –: not sent."""

RULES_INTRO = """\
## Rules

How a value is written before it is hashed with SHA-256. `digests` in a destination's configuration can name another
rule for a key."""


def page(destinations: Mapping[str, Destination]) -> str:
    """The whole page, in Markdown. `destinations`: by name."""
    found = [destinations[name] for name in sorted(destinations)]
    parts = [INTRO, _contents(found), EVENTS, _events(found), KEYS, _keys(found), RULES_INTRO, _rules()]
    for destination in found:
        parts += [f"## `{destination.name}`", _facts(destination), _config(destination)]
    return "\n\n".join(parts) + "\n"


def _contents(found: list[Destination]) -> str:
    names = ", ".join(f"[`{one.name}`](#{one.name})" for one in found)
    return f"{names}. First the [events](#events), [match keys](#match-keys) and [rules](#rules) of all of them."


def _events(found: list[Destination]) -> str:
    every = [one.names_for(_defaults(one)) for one in found]
    further = sorted({name for names in every for name in names} - STANDARD_NAMES)
    rows = [
        [f"`{name}`", *(_name(name, names, one) for names, one in zip(every, found, strict=True))]
        for name in (*sorted(STANDARD_NAMES), *further)
    ]
    rows.append(["any other", *("own name" if one.custom_names else "–" for one in found)])
    return _table(["event", *(one.name for one in found)], rows)


def _name(name: str, names: Mapping[str, str], destination: Destination) -> str:
    theirs = names.get(name)
    if theirs is None:
        own = "own name" if destination.custom_names else "–"
        return "as configured" if callable(destination.names) and not names else own
    return f"(`{theirs}`)" if name in destination.off_by_default else f"`{theirs}`"


def _keys(found: list[Destination]) -> str:
    declared = {key for one in found for key in (*one.digests, *one.clear)}
    keys = [*(key for key in MATCH_KEYS if key in declared), *sorted(declared - set(MATCH_KEYS))]
    return _table(
        ["key", *(one.name for one in found)], [[f"`{key}`", *(_key(key, one) for one in found)] for key in keys]
    )


def _key(key: str, destination: Destination) -> str:
    hashed, clear = destination.digests.get(key), destination.clear.get(key)
    return ", ".join([*([f"`{hashed}`"] if hashed else []), *([f"clear: `{clear}`"] if clear else [])]) or "–"


def _rules() -> str:
    rows = []
    for rule in RULES.values():
        about = (rule.function.__doc__ or "").strip().splitlines()[0]
        rows.append([f"`{rule.name}`", ", ".join(f"`{key}`" for key in rule.keys), about])
    return _table(["rule", "for", "what it makes"], rows)


def _facts(destination: Destination) -> str:
    limits = destination.limits
    rows = [
        ("API version", f"{destination.api_version} ([documentation]({destination.docs}))"),
        ("consent needed", ", ".join(f"`{purpose}`" for purpose in sorted(destination.purposes))),
        ("after an opt-out", _opt_out(destination)),
        ("test events", _tests(destination)),
        ("credentials", ", ".join(_auth(destination))),
        ("a request", _request(limits)),
        ("age of events", _age(destination)),
        ("retry", _retry(destination)),
    ]
    if destination.serial_key is not None:
        rows.append(("order", "events of one transaction go one after another"))
    if destination.follow_up is not None:
        rows.append(("outcome", _follow_up(destination.follow_up)))
    rows.append(("`gateway check --live`", "asks the platform" if destination.probe else "cannot ask without sending"))
    return _table(["", ""], [list(row) for row in rows])


def _opt_out(destination: Destination) -> str:
    if not destination.limited:
        return "not sent: there is no limited mode"
    regions = ", ".join(sorted(destination.limited))
    return f"limited mode for visitors from {regions}, if `on_opt_out` says so; else not sent"


def _tests(destination: Destination) -> str:
    if destination.accepts_test is None:
        return "never sent"
    if destination.accepts_test(_defaults(destination)):
        return "sent in test mode"
    keys = " or ".join(f"`{key}`" for key in destination.config_schema["properties"] if "test" in key)
    return f"sent only with {keys}"


def _auth(destination: Destination) -> Iterator[str]:
    for auth in destination.auths:
        match auth:
            case Bearer(key):
                yield f"`{key}` as bearer token"
            case Header(name, key):
                yield f"`{key}` in the header `{name}`"
            case Query(name, key):
                yield f"`{key}` in the query parameter `{name}`"
            case Proof(name, key, message):
                yield f"if `{key}` is set, `{name}`: HMAC-SHA256 of `{message}`"
            case Signature(name, key):
                yield f"`{name}`: HMAC-SHA256 of time and body with `{key}`"
            case OAuth():
                yield "OAuth 2.0 access token, renewed by the gateway"


def _request(limits: Limits) -> str:
    words = [f"up to {limits.batch:,} event{'s' * (limits.batch > 1)} and {limits.bytes / 1e6:g} MB"]
    words.append(f"waits {_time(limits.linger_s)} for company")
    words.append(f"{limits.concurrency} at the same time")
    at_once = f" (up to {limits.burst} at once)" if limits.burst is not None else ""
    words += [f"{limits.rate:,g} a second{at_once}"] if limits.rate is not None else []
    return ", ".join([*words, f"deadline {_time(limits.timeout_s)}"])


def _age(destination: Destination) -> str:
    most = destination.limits.max_age_s
    words = "any" if most is None else f"up to {_time(most)}"
    return words if destination.age_limit is None else f"{words}, for some events less"


def _retry(destination: Destination) -> str:
    retry = destination.retry
    times = f"after up to {_time(retry.first_s)}, then × {retry.factor:g} up to {_time(retry.max_s)}"
    unseen = "" if retry.unseen_s is None else f"; for {_time(retry.unseen_s)} if the answer was never seen"
    if destination.unseen_limit is not None:
        unseen += "; less, or not at all, for an event whose answer was never seen"
    return f"{times}, for {_time(retry.give_up_s)}{unseen}"


def _follow_up(follow_up: FollowUp) -> str:
    times = f"after {_time(follow_up.first_s)}, then × {follow_up.factor:g} up to {_time(follow_up.max_s)}"
    return f"reported later: asked for {times}, for {_time(follow_up.give_up_s)}"


def _config(destination: Destination) -> str:
    schema = destination.config_schema
    required = set(schema.get("required", ()))
    rows = []
    for key, rule in schema.get("properties", {}).items():
        default = f"`{json.dumps(rule['default'])}`" if "default" in rule else "–"
        default = "**required**" if key in required else default
        about = f"{'**Secret.** ' if rule.get('writeOnly') else ''}{rule['description']}"
        rows.append([f"`{key}`", _type(rule), default, about])
    return _table(["key", "type", "default", "what it does"], rows)


def _type(rule: Mapping[str, Any]) -> str:
    if "enum" in rule:
        return " or ".join(f"`{json.dumps(option)}`" for option in rule["enum"])
    kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
    words = " or ".join(TYPES.get(str(kind), str(kind)) for kind in kinds)
    items = rule.get("items", {})
    if "enum" in items:
        return f"{words} of {', '.join(f'`{json.dumps(option)}`' for option in items['enum'])}"
    return f"{words} of {items['type']}s" if "type" in items else words


def _defaults(destination: Destination) -> dict[str, Any]:
    """The configuration of an operator who sets nothing that is optional."""
    properties = destination.config_schema.get("properties", {})
    return {key: rule["default"] for key, rule in properties.items() if "default" in rule}


def _time(seconds: float) -> str:
    """`7 d`, `47 h`, `30 min`, `0.1 s`: in the largest unit that gives a whole number."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
