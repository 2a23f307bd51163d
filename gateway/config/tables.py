"""The gateway's own tables → settings: `[server]`, `[outbox]`, `[privacy]`, `[sources.*]`, `[consent]`.

Each function gets a table that fits the schema, with the defaults filled in, and adds what the schema cannot say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.config import values
from gateway.config.cookies import browser
from gateway.config.segment import segment
from gateway.config.settings import ConsentSettings, OutboxSettings, Privacy, Server, Source
from gateway.privacy.consent import SHIPPED_REGIONS, RegionRule
from gateway.privacy.sealing import Keyring, read_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.config.faults import Faults, KeyPath

#: The example's keys are public: they open nothing but a gateway that only this machine can reach.
EXAMPLE_KEYS = frozenset({"example-write-key-0000", "example-public-key-0000"})

#: A secret key has at least so many different characters: one of fewer was typed, not drawn.
DIFFERENT = 6

#: How long a purchase waits for its other copy where a shop's server sends one, in seconds.
COPY_WAIT_S = 60.0

_NOT_BUILT = "is not built yet"

#: Keys that only a source of webhooks has.
OF_WEBHOOKS = ("signing_secret", "purchase_when", "order_id", "content_id")
#: Kind of source → where its signing secret is found.
SIGNERS = {
    "shopify": "Shopify shows below its list of webhooks, or an app's client secret",
    "woocommerce": "stands in the webhook's field Secret",
    "stripe": "the endpoint's page shows as its signing secret (whsec_…)",
}
#: Kind of source → what `order_id` may be.
ORDER_IDS = {
    "shopify": ("id", "name", "number"),
    "woocommerce": ("id", "number"),
    "stripe": ("id", "payment_intent", "client_reference_id"),
}


def server(table: Mapping[str, Any], faults: Faults) -> Server:
    proxies = (
        values.reading(values.network, text, faults, ("server", "trusted_proxies", number), None)
        for number, text in enumerate(table["trusted_proxies"])
    )
    return Server(
        host=table["host"],
        port=table["port"],
        workers=table["workers"],
        trusted_proxies=tuple(proxy for proxy in proxies if proxy is not None),
        max_body_bytes=values.reading(
            values.body_size, table["max_body_bytes"], faults, ("server", "max_body_bytes"), 1
        ),
        max_events=table["max_events"],
        admin_tokens=_several(table.get("admin_token", ())),
    )


def outbox(table: Mapping[str, Any], folder: Path, faults: Faults) -> OutboxSettings:
    retention, window = (
        values.reading(values.duration, table[key], faults, ("outbox", key), 0.0)
        for key in ("retention", "dedup_window")
    )
    if retention < window:
        faults.add(("outbox", "retention"), "expected at least `dedup_window`: a forgotten event has no duplicates")
    path = values.reading(sqlite_path, table["url"], faults, ("outbox", "url"), "")
    return OutboxSettings(url=table["url"], path=folder / path, retention_s=retention, dedup_window_s=window)


def sqlite_path(url: str) -> str:
    """The file of a `sqlite:///` URL; as it stands, relative or absolute."""
    if url.startswith(("postgresql://", "postgres://")):
        raise ValueError(f'PostgreSQL {_NOT_BUILT}; use "sqlite:///gateway.db"')
    path = url.removeprefix("sqlite:///")
    if path == url or not path.strip("/") or path.endswith("/") or path == ":memory:" or "?" in path or "\0" in path:
        raise ValueError('expected a file: "sqlite:///gateway.db" (relative) or "sqlite:////var/lib/gateway.db"')
    return path


def privacy(table: Mapping[str, Any], folder: Path, faults: Faults) -> Privacy:
    ip = table["ip_retention"]
    return Privacy(
        payload_retention_s=values.reading(
            values.duration, table["payload_retention"], faults, ("privacy", "payload_retention"), 0.0
        ),
        ip_retention_s=None
        if ip == "final"
        else values.reading(values.duration, ip, faults, ("privacy", "ip_retention"), None),
        url_parameters=tuple(table["url_parameters"]) if "url_parameters" in table else None,
        all_digest_rules=table["digest_rules"] == "all",
        ledger_retention_s=values.reading(
            values.duration, table["ledger_retention"], faults, ("privacy", "ledger_retention"), 0.0
        ),
        visit_retention_s=values.reading(
            values.duration, table["visit_retention"], faults, ("privacy", "visit_retention"), 0.0
        ),
        misplaced=table["misplaced"],
        keyring=Keyring(_encryption_keys(table, faults)),
        ledger_anchor=folder / table["ledger_anchor"] if "ledger_anchor" in table else None,
    )


def _encryption_keys(table: Mapping[str, Any], faults: Faults) -> tuple[bytes, ...]:
    several = _several(table.get("encryption_key", ()))
    found = [values.reading(read_key, text, faults, ("privacy", "encryption_key"), None) for text in several]
    return tuple(key for key in found if key is not None)


def source(name: str, table: Mapping[str, Any], faults: Faults) -> Source:
    at = ("sources", name)
    write, public = (_several(table.get(key, ())) for key in ("write_key", "public_key"))
    secrets = _several(table.get("signing_secret", ()))
    if table["kind"] != "events":
        _webhooks(at, table, faults)
    elif not write and not public and "measurement_id" not in table["measurement_protocol"]:
        faults.add(at, "needs a `write_key` (for servers) or a `public_key` (for browsers)")
    for key in OF_WEBHOOKS:
        if table["kind"] == "events" and key in table:
            faults.add((*at, key), 'is for webhooks: `kind = "shopify"`, `"woocommerce"` or `"stripe"`')
    origins = [
        values.reading(values.origin, text, faults, (*at, "origins", number), "")
        for number, text in enumerate(table["origins"])
    ]
    return Source(
        name=name,
        write_keys=write,
        public_keys=public,
        origins=tuple(dict.fromkeys(origins)),
        region=values.reading(values.region, table["region"], faults, (*at, "region"), None)
        if "region" in table
        else None,
        default_country=values.reading(values.region, table["default_country"], faults, (*at, "default_country"), None)
        if "default_country" in table
        else None,
        dedup_group=table.get("dedup_group"),
        kind=table["kind"],
        signing_secrets=(secrets or write) if table["kind"] != "events" else (),
        purchase_when=table.get("purchase_when", "paid"),
        order_id=table.get("order_id", "id"),
        content_id=table.get("content_id", "variant"),
        remember_visits=table.get("remember_visits", False),
        copy_wait_s=values.reading(values.duration, table["copy_wait"], faults, (*at, "copy_wait"), 0.0)
        if "copy_wait" in table
        else 0.0,
        pixel_ids=tuple(map(str, _several(table["conversions_api"].get("pixel_id", ())))),
        measurement_ids=_several(table["measurement_protocol"].get("measurement_id", ())),
        ga_events=table["measurement_protocol"].get("events", {}),
        segment=segment(table["segment"]),
        browser=browser(table["browser"], origins, faults, (*at, "browser")),
    )


def beside_others(sources: Mapping[str, Source], given: Mapping[str, Any]) -> dict[str, Source]:
    """The sources with what each leaves to be told by the others: a shop's server reports what began in a browser."""
    shops = [one for one in sources.values() if one.kind != "events"]
    groups = {one.dedup_group for one in shops if one.dedup_group is not None}
    found = {}
    for name, source in sources.items():
        if shops and "remember_visits" not in given[name]:
            source = replace(source, remember_visits=True)
        if source.dedup_group in groups and "copy_wait" not in given[name]:
            source = replace(source, copy_wait_s=COPY_WAIT_S)
        found[name] = source
    return found


def _webhooks(at: KeyPath, table: Mapping[str, Any], faults: Faults) -> None:
    """What a source of webhooks needs, and cannot have."""
    kind = table["kind"]
    if "signing_secret" not in table and "write_key" not in table:
        faults.add(at, f"needs a `signing_secret`: what {SIGNERS[kind]}")
    for key in ("public_key", "origins"):
        if table.get(key):
            faults.add((*at, key), f'a source of kind "{kind}" takes webhooks only: nothing else is posted to it')
    if table.get("order_id", "id") not in ORDER_IDS[kind]:
        allowed = " or ".join(f'"{one}"' for one in ORDER_IDS[kind])
        faults.add((*at, "order_id"), f"expected {allowed} for {kind}")


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def check_keys(sources: Mapping[str, Source], server: Server, faults: Faults) -> None:
    """One key opens one door of one source: every further use of it is a fault."""
    used: dict[str, str] = {}
    for place, key in _keys(sources, server):
        label = ".".join(place)
        if key in used:
            faults.add(place, f"the same key as {used[key]}; every key must be different")
        elif not key.isascii() or not key.isprintable() or " " in key:
            faults.add(place, "expected printable ASCII characters without spaces: a key travels in a header")
        elif place[-1] != "public_key" and len(set(key)) < DIFFERENT:
            faults.add(place, f"expected at least {DIFFERENT} different characters; `gateway init` makes fresh keys")
        elif key in EXAMPLE_KEYS and not _only_here(server.host):
            faults.add(place, "the example's key is public; `gateway init` makes fresh ones")
        used.setdefault(key, label)
    for place, secret in _secrets(sources):
        if secret in used:
            faults.add(place, f"the same secret as {used[secret]}; every secret must be different")
        elif len(set(secret)) < DIFFERENT:
            faults.add(
                place, f"expected at least {DIFFERENT} different characters: whoever guesses it can forge orders"
            )
        used.setdefault(secret, ".".join(place))


def _secrets(sources: Mapping[str, Source]) -> list[tuple[tuple[str, ...], str]]:
    """The secrets that sign, where they are no keys at the same time."""
    return [
        (("sources", one.name, "signing_secret"), secret)
        for one in sources.values()
        for secret in one.signing_secrets
        if secret not in one.write_keys
    ]


def check_streams(sources: Mapping[str, Source], faults: Faults) -> None:
    """A GA4 stream is one source's: its tag brings nothing else to tell whose request it is."""
    used: dict[str, str] = {}
    for source in sources.values():
        for stream in source.measurement_ids:
            if (other := used.setdefault(stream, source.name)) != source.name:
                place = ("sources", source.name, "measurement_protocol", "measurement_id")
                faults.add(place, f"the same as that of sources.{other}; a stream has one source")


def _keys(sources: Mapping[str, Source], server: Server) -> list[tuple[tuple[str, ...], str]]:
    admin: list[tuple[tuple[str, ...], str]] = [(("server", "admin_token"), token) for token in server.admin_tokens]
    return admin + [
        (("sources", one.name, kind), key)
        for one in sources.values()
        for kind, several in (("write_key", one.write_keys), ("public_key", one.public_keys))
        for key in several
    ]


def _only_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def consent(table: Mapping[str, Any], faults: Faults) -> ConsentSettings:
    """The operator's regions over the shipped ones; what a part leaves out is its country's."""
    given: dict[str, Mapping[str, Any]] = {}
    for name, rule in table["regions"].items():
        at = ("consent", "regions", name)
        code = values.reading(values.region, name, faults, at, "")
        if code in given:
            faults.add(at, f"the region {code} is there twice")
        given[code] = rule
    regions = dict(SHIPPED_REGIONS)
    for code in sorted(given, key=len):  # countries before their parts
        base = regions.get(code) or regions.get(code[:2]) or RegionRule()
        rule = given[code]
        regions[code] = RegionRule(rule.get("default", base.default), rule.get("on_opt_out", base.on_opt_out))
    return ConsentSettings(
        unknown_region=table["unknown_region"], gpp_without_gpc=table["gpp_without_gpc"], regions=regions
    )
