"""What the gateway says of itself: one line for each happening, with a name and keys from a list.

A key that is not on the list is dropped and named in `dropped_keys`, so that no line can carry a match key by mistake.
Values lose query strings, e-mail addresses, digests and phone numbers: a token may stand in any of the first, a person
in the others. What libraries log goes the same way or nowhere; an exception is its type and where it was raised.

    log = get_logger("delivery")
    log.warning("lane_paused", instance="meta", code="190")
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import msgspec
import structlog

from gateway.model.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

#: All keys that a line may have. What is said of each is in docs/operating.md.
KEYS = frozenset(
    "event level timestamp part dropped_keys "  # every line
    "number hash "  # the ledger
    "version pid worker workers host port signal exit_code duration_s sqlite_version file "  # the process
    "instance instances plugin hook since state verdict status code message tries size in_flight next_at count "
    "source door method path request_id event_ids origin error where "  # requests
    "keys faults key rows bytes seq event_id event_name".split()
)

#: Loggers whose messages are known to hold nothing of an event. All others' are left out.
KNOWN_LOGGERS = frozenset({"uvicorn", "uvicorn.error", "asyncio"})
#: Loggers that write URLs, tokens among them, into their lines.
SILENCED = ("httpx", "httpcore", "uvicorn.access", "urllib3", "requests", "google.auth", "hpack")

#: What may stand in no value → what stands there instead.
_PERSONAL = (
    (re.compile(r"\?[^\s\"'<>]*=[^\s\"'<>]*"), "?…"),
    (re.compile(r"[^\s@\"'<>=:]+@[^\s@\"'<>]+\.[^\s@\"'<>]+"), "[e-mail]"),
    (re.compile(r"\b[0-9a-fA-F]{64}\b"), "[digest]"),
    (re.compile(r"\+\d[\d ().-]{6,}\d"), "[phone]"),
)
#: IP addresses, which only platforms quote: in our own lines they are the operator's.
_ADDRESS = re.compile(
    r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{1,4})*\b"
)
#: What could write over a terminal, or begin a line of its own: control characters, and marks that turn text around.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LONGEST = 1_000

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

Line: TypeAlias = MutableMapping[str, Any]


def configure(*, stream: TextIO | None = None, console: bool | None = None, level: int = logging.INFO) -> None:
    """Set up the process's log, once, at its start. Lines go to `stream` (standard error).

    `console`: for people rather than as JSON; by default where `stream` is a terminal.
    """
    out = sys.stderr if stream is None else stream
    for_people = out.isatty() if console is None else console
    renderer = structlog.dev.ConsoleRenderer() if for_people else _json
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            describe_exception,
            allow,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Libraries()]
    root.setLevel(logging.WARNING)
    for name in SILENCED:
        logging.getLogger(name).disabled = True


def level_of(environ: Mapping[str, str]) -> int:
    """The level that `GATEWAY_LOG_LEVEL` names: `debug`, `info`, `warning` or `error`; without it, `info`.

    Raises `ConfigError` for anything else.
    """
    given = environ.get("GATEWAY_LOG_LEVEL") or "info"
    if given.lower() not in LEVELS:
        raise ConfigError(f"GATEWAY_LOG_LEVEL: expected one of {', '.join(LEVELS)}")
    return LEVELS[given.lower()]


def get_logger(name: str = "gateway") -> Any:
    """The log of one part of the gateway. It may be made before `configure`, not used."""
    # lazy, so that `configure` still counts: `bind` would fix the processors here and now
    return structlog.get_logger(part=name)


def describe_exception(_logger: Any, _method: str, line: Line) -> Line:
    """`exc_info` becomes `error` (its type) and `where`; its message, which may quote a value, is left out."""
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exception()
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        line["error"] = type(error).__name__
        line["where"] = frames(error.__traceback__)
    return line


def allow(_logger: Any, _method: str, line: Line) -> Line:
    """Drop what is not on the list, and clean what is."""
    dropped = sorted(str(key) for key in line if key not in KEYS)
    kept: Line = {key: clean(value) for key, value in line.items() if key in KEYS}
    if dropped:
        kept["dropped_keys"] = dropped
    return kept


def clean(value: Any) -> Any:
    """A value as it may stand in a line: nothing personal in it, and not too long."""
    if isinstance(value, str):
        for pattern, instead in _PERSONAL:
            value = pattern.sub(instead, value)
        value = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value)
        return value if len(value) <= _LONGEST else value[:_LONGEST] + "…"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(entry) for entry in value]
    return clean(str(value))


def platform_words(text: str) -> str:
    """What a platform said, as it may be kept: it likes to quote what it was sent."""
    return _ADDRESS.sub("[address]", clean(text))


def frames(trace: TracebackType | None) -> list[str]:
    """Where an exception was raised, innermost last: `pipeline.py:93 take`. No source lines, no values."""
    found = traceback.extract_tb(trace)[-8:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in found]


def _json(_logger: Any, _method: str, line: Line) -> str:
    first = {key: line.pop(key) for key in ("timestamp", "level", "event") if key in line}
    return msgspec.json.encode({**first, **line}).decode()


class _Libraries(logging.Handler):
    """Writes what libraries log as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        words: dict[str, Any] = {}
        if record.name in KNOWN_LOGGERS:  # the first line only: the rest may quote what went wrong
            words["message"] = record.getMessage().partition("\n")[0]
        if record.exc_info:
            words["exc_info"] = record.exc_info
        report = get_logger(record.name)
        (report.error if record.levelno >= logging.ERROR else report.warning)("library", **words)
