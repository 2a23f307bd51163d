"""What a line of the log may hold."""

import ast
import io
import json
import logging
from pathlib import Path

import pytest
import structlog

from gateway import log
from gateway.model.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lines():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure(stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in log.SILENCED:
        logging.getLogger(name).disabled = False


def test_a_line_is_json_with_a_name_and_where_it_comes_from(lines):
    log.get_logger("delivery").warning("lane_paused", instance="meta", code="190")
    [line] = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"level": "warning", "event": "lane_paused", "part": "delivery", "instance": "meta", "code": "190"}


def test_a_logger_made_before_the_configuration_follows_it():
    early = log.get_logger("early")
    stream = io.StringIO()
    log.configure(stream=stream)
    early.info("started", email="jane.doe@example.com")
    structlog.reset_defaults()
    assert "jane" not in stream.getvalue()


def test_a_key_that_is_not_on_the_list_is_dropped_and_named(lines):
    log.get_logger().info("taken", email="jane.doe@example.com", phone="+12125550142", count=3)
    [line] = lines()
    assert line["dropped_keys"] == ["email", "phone"]
    assert line["count"] == 3
    assert "jane" not in str(line)


@pytest.mark.parametrize(
    ("value", "gone"),
    [
        ("POST https://graph.example/v1/events?access_token=s3cret failed", "s3cret"),
        ("no account for jane.doe@example.com", "jane"),
        ("number +1 212 555 0142 is wrong", "555 0142"),
        ("digest " + "ab" * 32, "abab"),
        (["a", "jane.doe@example.com"], "jane"),
        ({"email": "jane.doe@example.com"}, "jane"),
    ],
)
def test_values_lose_what_is_personal_or_secret(lines, value, gone):
    log.get_logger().info("x", message=value)
    assert gone not in str(lines())


def test_an_exception_is_its_type_and_its_place(lines):
    try:
        raise ValueError("jane.doe@example.com s3cret")
    except ValueError as error:
        log.get_logger().error("failed", exc_info=error)
    [line] = lines()
    assert line["error"] == "ValueError"
    assert line["where"][-1].startswith("test_log.py:")
    assert "s3cret" not in str(line)


def test_libraries_lines_go_the_same_way_or_nowhere(lines):
    logging.getLogger("httpx").warning("HTTP Request: POST https://x.example/?access_token=s3cret")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\nValueError: s3cret")
    logging.getLogger("some.library").warning("posting s3cret")
    logging.getLogger("uvicorn.error").info("not worth a line")
    found = lines()
    assert [(line["part"], line.get("message")) for line in found] == [
        ("uvicorn.error", "Exception in ASGI application"),
        ("some.library", None),
    ]
    assert "s3cret" not in str(found)


def test_every_key_that_the_code_logs_is_on_the_list():
    levels = {"debug", "info", "warning", "error", "critical"}
    unknown = set()
    for path in (ROOT / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in levels:
                of = ast.unparse(node.func.value)
                if of == "log" or of.startswith("get_logger("):
                    unknown |= {(path.name, one.arg) for one in node.keywords if one.arg not in log.KEYS | {"exc_info"}}
    assert unknown == set()


@pytest.mark.parametrize("bad", ["\x1b[2J", "\x9b31m", "\r", "\n", "\x07", "\u202e", "\u2028"])
def test_nothing_that_moves_a_terminal_stands_in_a_value(bad):
    assert log.clean(f"/v1/{bad}x") == "/v1/" + "\N{REPLACEMENT CHARACTER}" + f"{bad[1:]}x"


@pytest.mark.parametrize(("given", "level"), [("debug", 10), ("WARNING", 30), ("", 20)])
def test_the_level_comes_from_the_environment(given, level):
    assert log.level_of({"GATEWAY_LOG_LEVEL": given}) == level


def test_a_level_that_there_is_not_is_told():
    with pytest.raises(ConfigError, match="debug, info, warning, error"):
        log.level_of({"GATEWAY_LOG_LEVEL": "loud"})
