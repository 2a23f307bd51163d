"""Watches the whole suite: no secret and nobody's identity that came in comes out anywhere.

What comes in is learnt where it does: secrets as a configuration is read, keys as they are set up, access tokens as
they are fetched, people as events come through the door, with every e-mail address and phone number wherever in them it
stands. Each is looked for from then on, to the end of its test file, in everything that the gateway gives away:

- log lines, all of them, at DEBUG, with those of libraries as the gateway passes them on
- standard output and error, of commands too, and of processes that tests start
- answers with their headers, so problems and metrics; what exceptions of ours say
- files below temporary folders: database, write-ahead log, copies, logs; not what a test wrote as input

A test that uses neither the door nor the configuration (a normaliser's) brings nothing to look for.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ahocorasick
import pytest
import structlog

from gateway import log
from gateway.config.settings import Secrets
from gateway.delivery import auth
from gateway.ingest.pipeline import Door
from gateway.model.errors import GatewayError
from gateway.web import app, keys, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: Shorter ones stand in other words.
SHORTEST_SECRET, SHORTEST_NAME, SHORTEST_OTHER = 8, 6, 8
#: Fields of `user_data` that are nobody's business, and the shortest value looked for.
PERSONAL = {"first_name": SHORTEST_NAME, "last_name": SHORTEST_NAME, "street": SHORTEST_OTHER}
PERSONAL |= {"date_of_birth": SHORTEST_OTHER, "phone": SHORTEST_OTHER, "external_id": SHORTEST_OTHER, "email": 5}
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}", re.IGNORECASE)
PHONE = re.compile(r"\+\d{9,}")
#: Names of people in examples that are words as well.
WORDS = {"example"}
DIGEST = re.compile(r"[0-9a-fA-F]{64}")
#: Keys of gateway.toml that hold secrets, for processes that read one by themselves.
SECRET_KEYS = re.compile(
    r"(?m)^\s*(?:write_key|admin_token|access_token|app_secret|client_secret|refresh_token|secret|token)\s*=\s*(.+)$"
)
QUOTED = re.compile(r"\"([^\"$]{8,})\"")
#: Files that tests write for the gateway to read, and whose content is theirs.
INPUTS = {".toml", ".old", ".py", ".json", ".ndjson", ".csv", ".gz", ".zst", ".env", ".pem", ".key", ".ini", ".txt"}
#: Digits of a day of birth.
DAY = 8
#: Values times characters from which on one search for all of them is the faster.
LARGE = 500_000_000


def stands_in(value: str, text: str) -> bool:
    """Whether it is there as such: eight digits, a day, are a part of some digest or time where there are many."""
    if not (value.isdigit() and len(value) <= DAY):
        return True
    return re.search(rf"(?<![0-9a-f.]){value}(?![0-9a-f])", text) is not None


@dataclass
class Watch:
    """What came in, and where it came out."""

    secrets: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)
    #: Channel and the value, for the test that runs.
    leaks: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    #: Over the whole session.
    learnt: set[str] = field(default_factory=set)
    watched: set[str] = field(default_factory=set)
    texts: int = 0
    files: int = 0
    tests: int = 0
    total: int = 0

    def secret(self, value: Any) -> None:
        """A secret came in."""
        if isinstance(value, str) and len(value) >= SHORTEST_SECRET:
            self.secrets.add(value.lower())
            self.learnt.add(f"secret {value}")

    def person(self, value: str) -> None:
        """Something of a person came in."""
        value = value.strip()
        if not DIGEST.fullmatch(value) and value.lower() not in WORDS:
            self.people.add(value.lower())
            self.learnt.add(f"person {value}")

    def event(self, event: Any) -> None:
        """An event came through the door."""
        try:
            text = json.dumps(event, ensure_ascii=False, default=str)
        except (ValueError, RecursionError):
            return
        for found in (*EMAIL.findall(text), *PHONE.findall(text)):
            self.person(found)
        given = event.get("user_data") if isinstance(event, dict) else None
        for key, shortest in PERSONAL.items() if isinstance(given, dict) else ():
            values = given.get(key)
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, str) and len(value.strip()) >= shortest:
                    self.person(value)

    def found(self, text: str) -> str | None:
        """One that stands in a text. A search each, or one for all of them where there is much to look through."""
        folded, values = text.lower(), (*self.secrets, *self.people)
        if len(values) * len(folded) < LARGE:
            return next((one for one in values if one in folded and stands_in(one, folded)), None)
        automaton = ahocorasick.Automaton()
        for value in values:
            automaton.add_word(value, value)
        automaton.make_automaton()
        return next(
            (one for one in dict.fromkeys(one for _, one in automaton.iter(folded)) if stands_in(one, folded)), None
        )

    def look(self, channel: str, text: str | bytes) -> None:
        """Look through something that the gateway gave away."""
        self.texts += 1
        words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        if found := self.found(words):
            at = words.lower().index(found)
            self.leaks.append(f"{channel}: {found!r} in …{words[max(0, at - 60) : at + len(found) + 20]!r}…")

    def look_through_files(self) -> None:
        """Look through the temporary folders of a test file."""
        self.learn_from_files()
        for path in self._files():
            if path.suffix in INPUTS or not (self.secrets or self.people):
                continue
            with contextlib.suppress(OSError):
                self.files += 1
                text = path.read_bytes().decode("utf-8", "replace")
                if text.strip().lower() in {one.strip() for one in self.secrets}:  # what `${file:…}` names
                    continue
                if found := self.found(text):
                    self.leaks.append(f"file {path.parent.name}/{path.name}: {found!r}")
        self.folders.clear()

    def learn_from_files(self) -> None:
        """What configurations hold that another process has read."""
        for path in self._files():
            if path.suffix == ".toml":
                with contextlib.suppress(OSError):
                    for line in SECRET_KEYS.findall(path.read_text("utf-8", "replace")):
                        for value in QUOTED.findall(line):
                            self.secret(value)

    def _files(self) -> Iterator[Path]:
        for folder in self.folders:
            with contextlib.suppress(OSError):
                yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())

    def forget(self) -> None:
        """Another test file begins."""
        self.secrets.clear()
        self.people.clear()


WATCH = Watch()


def before(owner: Any, name: str, look: Callable[..., object]) -> None:
    """Have `look` see what a function gets."""
    real = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        look(*args, **kwargs)
        return real(*args, **kwargs)

    setattr(owner, name, wrapped)


def after(owner: Any, name: str, look: Callable[[Any], object]) -> None:
    """Have `look` see what a function returns."""
    real = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        look(result)
        return result

    setattr(owner, name, wrapped)


def _both(result: Iterable[Any]) -> None:
    for name, text in zip(("standard output", "standard error"), result, strict=True):
        if isinstance(text, str | bytes):
            WATCH.look(name, text)


def _started(result: Any) -> None:
    WATCH.learn_from_files()
    _both(result)


def _keys(_self: Any, sources: Iterable[Any], admin_tokens: Iterable[str] = ()) -> None:
    for value in (*admin_tokens, *(key for source in sources for key in source.write_keys)):
        WATCH.secret(value)


def _secrets(_self: Any, values: Any = None) -> None:
    for value in (values or {}).values():
        WATCH.secret(value)


def _events(_self: Any, body: Any, *_: Any, **__: Any) -> None:
    for event in body.events:
        WATCH.event(event)


def _said(error: BaseException, *args: Any, **_: Any) -> None:
    WATCH.look(f"exception {type(error).__name__}", " ".join(map(str, args)))


def _watch_tokens() -> None:
    real = auth._Token._fetch

    async def fetch(self: Any) -> None:
        await real(self)
        WATCH.secret(self.value)

    auth._Token._fetch = fetch  # type: ignore[method-assign]


def _watch_answers() -> None:
    real = app.App.__call__

    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            for name, value in message.get("headers", ()):
                WATCH.look(f"header {name!r}", value)
            WATCH.look(f"answer to {scope.get('path')}", message.get("body", b""))
            await send(message)

        await real(self, scope, receive, told)

    app.App.__call__ = call  # type: ignore[method-assign]


class LookOut(log._Libraries):
    """Sees what libraries log at any level, as far as the gateway would write it if it were a warning."""

    def emit(self, record: logging.LogRecord) -> None:
        """Look through a line."""
        if record.name in log.KNOWN_LOGGERS:
            WATCH.look(f"log of {record.name}", record.getMessage().partition("\n")[0])


def _debug() -> None:
    """Everything that is configured from now on logs at DEBUG, libraries too."""
    real = log.configure
    assert real.__kwdefaults__ is not None

    @functools.wraps(real)
    def configure(**options: Any) -> None:
        real(**{**options, "level": logging.DEBUG})
        root = logging.getLogger()
        for handler in root.handlers:
            handler.setLevel(root.level)
        root.addHandler(LookOut())
        root.setLevel(logging.DEBUG)

    log.configure = configure


def pytest_configure(config: pytest.Config) -> None:
    """Put a look-out everywhere where something comes in or goes out."""
    if getattr(WATCH, "installed", False):
        return
    WATCH.installed = True  # type: ignore[attr-defined]
    before(Secrets, "__init__", _secrets)
    before(keys.Keys, "__init__", _keys)
    before(Door, "accept", _events)
    before(GatewayError, "__init__", _said)
    before(structlog.WriteLogger, "msg", lambda _self, message: WATCH.look("log", message))
    for level in ("debug", "info", "warning", "error", "critical", "log", "err", "failure", "fatal"):
        if hasattr(structlog.WriteLogger, level):
            setattr(structlog.WriteLogger, level, structlog.WriteLogger.msg)
    after(metrics.Metrics, "text", lambda text: WATCH.look("metrics", text))
    after(pytest.CaptureFixture, "readouterr", _both)
    after(subprocess.Popen, "communicate", _started)
    after(pytest.TempPathFactory, "mktemp", WATCH.folders.append)
    _watch_tokens()
    _watch_answers()
    _debug()


class Elsewhere(io.TextIOBase):
    """Standard output, whatever it is by then: where lines go that no test sends anywhere."""

    def write(self, text: str) -> int:
        """Write a line."""
        return sys.stdout.write(text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Where no test set the log up, it is as in production, at DEBUG."""
    if not structlog.is_configured():
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        log.configure(stream=Elsewhere(), console=False)
        root.handlers[:] = [*handlers, *root.handlers]
        item.stash[_LOGGING] = (handlers, level)
    return (yield)


_LOGGING = pytest.StashKey[tuple[list[logging.Handler], int]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """The test fails if anything came out; its test file if anything is in its files."""
    result = yield
    WATCH.tests += 1
    for when, what, text in item._report_sections:
        WATCH.look(f"{what} during {when}", text)
    if nextitem is None or nextitem.path != item.path:
        WATCH.look_through_files()
        WATCH.forget()
    if item.stash.get(_LOGGING, None) is not None:
        structlog.reset_defaults()
        root = logging.getLogger()
        root.handlers[:] = [one for one in root.handlers if not isinstance(one, log._Libraries)]
        root.setLevel(item.stash[_LOGGING][1])
    leaks = list(dict.fromkeys(WATCH.leaks))
    WATCH.leaks.clear()
    WATCH.total += len(leaks)
    if leaks:
        pytest.fail("what came in came out:\n" + "\n".join(leaks[:20]), pytrace=False)
    return result


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much was looked for and looked through."""
    secrets = sum(one.startswith("secret ") for one in WATCH.learnt)
    terminalreporter.write_line(
        f"canaries: {secrets} secrets and {len(WATCH.learnt) - secrets} values of people in {WATCH.tests} tests; "
        f"{WATCH.texts} texts and {WATCH.files} files looked through, {WATCH.total} leaks"
    )


@pytest.fixture
def watch() -> Watch:
    """For tests of the look-outs themselves."""
    return WATCH
