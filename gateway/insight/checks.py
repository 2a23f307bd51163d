"""Whether everything is in order: what `gateway check` looks at, one function for each subject."""

from __future__ import annotations

import os
import shutil
import stat
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from jsonschema import Draft202012Validator

from gateway.config import EXAMPLE_KEYS
from gateway.delivery.clock import SystemClock
from gateway.delivery.dispatcher import transport_for
from gateway.delivery.sender import Answered, Sender
from gateway.delivery.status import written
from gateway.log import clean
from gateway.model.delivery import Kind, Verdict
from gateway.model.errors import OutboxError
from gateway.model.event import STANDARD_NAMES
from gateway.outbox import queries, standing
from gateway.outbox.engine import lease_of, sqlite3, version_is_unsafe
from gateway.outbox.people import check_key
from gateway.outbox.space import FULL_BYTES
from gateway.privacy.sealing import name_of
from gateway.schema import load_schema, schemas_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.config import Instance, Settings
    from gateway.registry import Registry

OK, WARNING, PROBLEM = "ok", "warning", "problem"

#: When this version was written: a clock that is behind it is wrong.
WRITTEN_AT = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
#: How far ahead of the clock something on disk may be, in seconds.
SKEW_S = 300.0
#: How alike (0 to 1) a custom event's name and a standard one are when one is taken for the other's misspelling.
NEAR = 0.85
#: Less free space than this is worth a warning, in bytes.
SPACE_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    #: `configuration`, `source NAME`, `permissions`, `plugins`, `schemas`, `storage`, `sqlite`, `encryption`,
    #: `clock`, `dispatcher`, `lane NAME`, `live NAME`.
    name: str
    #: `ok`, `warning` (works, but look at it) or `problem`.
    status: str
    message: str


def configuration(settings: Settings) -> Iterator[Check]:
    """What the configuration switches on. That it can be read at all is known by then."""
    enabled, off = settings.enabled, settings.destinations.keys() - settings.enabled.keys()
    words = f"{settings.path}: sources {_names(settings.sources)}; destinations {_names(enabled)}"
    yield Check("configuration", OK, words + (f"; switched off {_names(off)}" if off else ""))
    if not enabled:
        yield Check("configuration", WARNING, "no destination is switched on: events are stored and go nowhere")
    if not settings.sources:
        yield Check("configuration", WARNING, "no source is configured: nobody can post events")
    keys = {key for source in settings.sources.values() for key in source.write_keys}
    if keys & EXAMPLE_KEYS:
        yield Check("configuration", WARNING, "the example's keys are in use: `gateway init` writes fresh ones")
    for name, instance in enabled.items():
        for custom, standard in _misspelt(instance):
            words = f"destinations.{name}.events: {custom} is no standard name; did you mean {standard}?"
            yield Check("configuration", WARNING, words)


def sources(settings: Settings) -> Iterator[Check]:
    """Where shops have to send their webhooks, and by what order ids they will be known."""
    for source in settings.sources.values():
        if source.kind != "events":
            number = "1 secret" if len(source.signing_secrets) == 1 else f"{len(source.signing_secrets)} secrets"
            words = (
                f"{source.kind} is to send its webhooks to /webhooks/{source.name}, signed ({number}); an order is a"
            )
            words += f" Purchase once it is {source.purchase_when}, under its `{source.order_id}`"
            yield Check(f"source {source.name}", OK, words)


def _misspelt(instance: Instance) -> Iterator[tuple[str, str]]:
    """Names of custom events that look like a slip of the pen, with the standard name."""
    known = STANDARD_NAMES | instance.destination.names_for(instance.config).keys()
    for name in sorted((instance.names.keys() | instance.left_out) - known):
        if near := get_close_matches(name, sorted(STANDARD_NAMES), 1, NEAR):
            yield name, near[0]


def permissions(settings: Settings) -> Iterator[Check]:
    """Files that others can read although secrets stand in them, or write although the gateway goes by them."""
    path = settings.path
    mode, text = path.stat().st_mode, path.read_text("utf-8", "replace")
    if mode & stat.S_IWOTH:
        yield Check("permissions", PROBLEM, f"{path}: anybody can change it: chmod o-w")
    if mode & stat.S_IROTH and any(one in text for one in _secrets(settings)):
        yield Check("permissions", WARNING, f"{path}: anybody on this machine can read the secrets in it: chmod o-r")
    for name, instance in settings.enabled.items():
        for key, value in {**instance.config, **instance.secrets}.items():
            if not key.endswith("_file") or not (file := Path(str(value))).is_file():
                continue
            if file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
                words = f"destinations.{name}.{key}: {file} is open to anybody on this machine: chmod o-rw"
                yield Check("permissions", WARNING, words)


def _secrets(settings: Settings) -> set[str]:
    """What nobody else may know; the example's keys are known to everybody."""
    keys = {key for source in settings.sources.values() for key in (*source.write_keys, *source.signing_secrets)}
    keys |= set(settings.server.admin_tokens)
    values = {value for instance in settings.enabled.values() for value in instance.secrets.values()}
    return {one for one in keys | values if isinstance(one, str) and one} - EXAMPLE_KEYS


def plugins(registry: Registry) -> Iterator[Check]:
    """Which plugins were found, and where."""
    others = [origin for origin in registry.origins.values() if not origin.startswith("bundled ")]
    told = ", ".join([f"{len(registry.origins) - len(others)} bundled", *others])
    yield Check("plugins", OK, f"{_names(registry.destinations)} ({told})")


def schemas() -> Iterator[Check]:
    """That the schemas are there and are schemas."""
    names = sorted(path.name for path in schemas_folder().glob("*.schema.json"))
    if not names:
        yield Check("schemas", PROBLEM, f"{schemas_folder()}: no schema there; install the package again")
        return
    for name in names:
        try:
            Draft202012Validator.check_schema(load_schema(name))
        except Exception as error:  # whatever is wrong with an installed file, it is told
            yield Check("schemas", PROBLEM, f"{name}: {type(error).__name__}; install the package again")
            return
    yield Check("schemas", OK, f"{len(names)} in {schemas_folder()}")


def storage(settings: Settings) -> Iterator[Check]:
    """The outbox: readable, of this version, with room to grow. It is not made or changed."""
    path, folder = settings.outbox.path, settings.outbox.path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Check("storage", PROBLEM, f"{folder}: not a folder that can be written to")
        return
    free = shutil.disk_usage(folder).free
    room = f"{free / 1e9:.1f} GB free" if free >= 1e9 else f"{free / 1e6:.0f} MB free"
    if free <= FULL_BYTES:
        yield Check("storage", PROBLEM, f"{folder}: the disk is full ({room}): new events are refused")
    elif free < SPACE_BYTES:
        yield Check("storage", WARNING, f"{folder}: only {room}")
    if not path.exists():
        yield Check("storage", OK, f"{path}: will be made at the first start; {room}")
    else:
        yield _database(settings, room)
    if version_is_unsafe():
        words = f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug, which can damage the outbox: install pysqlite3"
        yield Check("sqlite", WARNING, words)
    else:
        yield Check("sqlite", OK, f"SQLite {sqlite3.sqlite_version}")


def _database(settings: Settings, room: str) -> Check:
    path = settings.outbox.path
    if not os.access(path, os.R_OK | os.W_OK):
        return Check("storage", PROBLEM, f"{path}: cannot be written to by this user")
    try:
        with queries.reading(path) as db:
            check_key(db, path)
            return Check("storage", OK, f"{path}: {path.stat().st_size / 1e6:.1f} MB; {room}")
    except queries.OutboxOlder as error:
        return Check("storage", WARNING, str(error))
    except OutboxError as error:
        return Check("storage", PROBLEM, str(error))


def encryption(settings: Settings) -> Iterator[Check]:
    """Whether all that is stored sealed can be opened with the configured keys."""
    try:
        with queries.reading(settings.outbox.path) as db:
            sealed = queries.sealed_under(db)
    except OutboxError:
        return  # `storage` says it
    known = {name_of(key) for key in settings.privacy.keyring.keys}
    if missing := sorted(name.hex() for name in sealed if name not in known):
        words = f"payloads are sealed under the key {', '.join(missing)}, which is not among [privacy] encryption_key"
        yield Check("encryption", PROBLEM, f"{words}: they cannot be sent until it is put back")
    elif known:
        names = ", ".join(name_of(key).hex() for key in settings.privacy.keyring.keys)
        yield Check("encryption", OK, f"payloads can be opened; keys {names}, the first seals")


def clock(settings: Settings, now: float) -> Iterator[Check]:
    """The machine's clock, held against what cannot be in the future."""
    told = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if now < WRITTEN_AT:
        yield Check("clock", PROBLEM, f"{told} is before this version was written: the clock is wrong")
        return
    ahead = {str(settings.path): settings.path.stat().st_mtime, "the last stored event": _last_commit(settings)}
    late = [what for what, when in ahead.items() if when is not None and when > now + SKEW_S]
    if late:
        yield Check("clock", PROBLEM, f"{told}, yet {late[0]} is from later: the clock went back")
    else:
        yield Check("clock", OK, told)


def _last_commit(settings: Settings) -> float | None:
    try:
        with queries.reading(settings.outbox.path) as db:
            return queries.last_commit(db)
    except OutboxError:
        return None  # `storage` has told it


def dispatcher(settings: Settings) -> Iterator[Check]:
    """Whether somebody delivers what waits."""
    try:
        with queries.reading(settings.outbox.path) as db:
            waiting = {name: count for name, count in standing.behind(db, settings.enabled).items() if count}
    except OutboxError:
        return
    if waiting and _lease_is_free(settings):
        told = ", ".join(f"{name} {count}" for name, count in sorted(waiting.items()))
        words = f"deliveries wait ({told}) and nobody sends them: start `gateway serve` or `gateway dispatch`"
        yield Check("dispatcher", WARNING, words)


def _lease_is_free(settings: Settings) -> bool:
    """Without making the file. Not free if it cannot be told: another user's process may have it."""
    lock = lease_of(settings.outbox.path)
    if not lock.path.exists():
        return True
    try:
        return lock.acquire(wait=False)
    except OSError:
        return False
    finally:
        lock.release()


def lanes(settings: Settings) -> Iterator[Check]:
    """Destinations that are paused or do not answer, as the dispatcher wrote it down, and dead letters."""
    try:
        with queries.reading(settings.outbox.path) as db:
            rows, groups = standing.lane_rows(db), queries.dead_groups(db)
    except OutboxError:
        return
    for name in settings.enabled:
        at = written(rows[name]) if name in rows else None
        if at is not None and at.since is not None:
            since = f"{datetime.fromtimestamp(at.since, UTC):%Y-%m-%d %H:%M} UTC"
            words = f"{at.state} since {since} ({at.code}): {clean(at.message)}"
            yield Check(f"lane {name}", PROBLEM if at.state == "paused" else WARNING, words)
    dead: Counter[str] = Counter()
    for group in groups:
        dead[group.instance] += group.count
    for name, count in sorted(dead.items()):
        letters = "1 dead letter" if count == 1 else f"{count} dead letters"
        yield Check(f"lane {name}", WARNING, f"{letters}: `gateway dead list` tells why")


async def live(instance: Instance, now: float) -> Check:
    """Ask a platform whether the credentials work, without anything that counts."""
    name, probe = f"live {instance.name}", instance.destination.probe
    request = probe(instance.config, int(now)) if probe is not None else None
    if request is None:
        return Check(name, WARNING, "there is no harmless probe; set test_event_code, where the platform has one")
    sender = Sender(instance, SystemClock(), transport_for(instance))
    try:
        return _judged(name, await sender.probe(request))
    finally:
        await sender.close()


def _judged(name: str, answered: Answered) -> Check:
    given = answered.verdict
    verdict = given if isinstance(given, Verdict) else given[0]
    words = ": ".join(filter(None, (verdict.code, clean(verdict.message))))
    if verdict.kind in (Kind.DELIVERED, Kind.RECEIVED):
        return Check(name, OK, f"the platform took a test event in {answered.duration_s:.2f} s")
    if verdict.kind is Kind.PAUSE:
        return Check(name, PROBLEM, f"token, permission or account: {words}")
    if verdict.kind is Kind.RETRY:
        return Check(name, PROBLEM, f"no useful answer just now: {words}")
    return Check(name, OK, f"the credentials are accepted; of the probe itself it says {words}")


def _names(found: Iterable[str]) -> str:
    return ", ".join(sorted(found)) or "none"
