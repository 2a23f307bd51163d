"""The readings of an answer that most platforms share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.model.delivery import Kind
from gateway.plugin import Response, Verdict, verdicts


def answer(status: int, body: Any = "", **headers: str) -> Response:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Response(status, headers, data)


@pytest.mark.parametrize(
    ("status", "n", "kind"),
    [
        *((status, 5, "delivered") for status in (200, 201, 202, 204, 299)),
        *((status, 5, "pause") for status in (301, 302, 307, 308, 401, 403, 404)),
        *((status, 5, "retry") for status in (408, 425, 429, 500, 502, 503, 504, 599)),
        *((status, 5, "split") for status in (400, 409, 410, 413, 415, 422)),
        *((status, 1, "reject") for status in (400, 409, 410, 413, 415, 422)),
    ],
)
def test_by_status(status: int, n: int, kind: str) -> None:
    verdict = verdicts.by_status(answer(status, "words"), n)
    assert verdict.kind == kind
    assert verdict.code == ("" if kind == "delivered" else f"http_{status}")


def test_by_status_keeps_the_platforms_words_but_not_all_of_them() -> None:
    assert verdicts.by_status(answer(400, "no such pixel"), 1).message == "no such pixel"
    assert len(verdicts.by_status(answer(400, "ü" * 5000), 1).message) == verdicts.MESSAGE_CHARACTERS
    assert verdicts.by_status(Response(400, {}, b"\xff\xfe"), 1).message == "\ufffd\ufffd"


CODES: dict[Any, Any] = {
    1007: verdicts.pause,
    2001: verdicts.reject,
    "slow": verdicts.retry(after_s=30.0, tries=3),
    9: verdicts.pause("token", "the token is over"),
}


@pytest.mark.parametrize(
    ("code", "n", "expected"),
    [
        (1007, 5, Verdict(Kind.PAUSE, "1007", "why")),
        (2001, 1, Verdict(Kind.REJECT, "2001", "why")),
        (2001, 2, Verdict(Kind.SPLIT, "2001", "why")),
        ("slow", 2, Verdict(Kind.RETRY, "slow", "why", 30.0, 3)),
        (9, 2, Verdict(Kind.PAUSE, "token", "the token is over")),
    ],
)
def test_by_code_takes_the_code_and_the_words_beside_it(code: Any, n: int, expected: Verdict) -> None:
    response = answer(400, {"error": {"code": code, "message": "why"}, "message": "not this"})
    assert verdicts.by_code(CODES, response, "error.code", n) == expected


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "<html>", {"error": None}, {"error": {"code": [1007]}}, {"error": 3}]
)
def test_by_code_says_nothing_of_a_code_that_is_not_in_the_table(body: Any) -> None:
    assert verdicts.by_code(CODES, answer(400, body), "error.code", 1) is None


def test_by_code_takes_the_words_from_elsewhere_if_told() -> None:
    response = answer(200, {"code": 1007, "detail": "expired", "message": "not this"})
    found = verdicts.by_code(CODES, response, "code", 1, message="detail")
    assert found is not None
    assert found.message == "expired"
    found = verdicts.by_code(CODES, response, "code", 1)
    assert found is not None
    assert found.message == "not this"


def test_a_refusal_that_names_no_event_is_narrowed_down() -> None:
    assert verdicts.refused("c", "m", 1) == verdicts.reject("c", "m")
    assert verdicts.refused("c", "m", 2) == verdicts.split("c", "m")


def test_received_names_the_request_for_the_question_later() -> None:
    assert verdicts.received("req-1") == Verdict(Kind.RECEIVED, request_id="req-1")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("error.code", 7),
        ("events.1.status", "bad"),
        ("events.2.status", None),
        ("events.x", None),
        ("error.code.deeper", None),
        ("nothing", None),
    ],
)
def test_find_walks_objects_and_lists(path: str, found: Any) -> None:
    body = {"error": {"code": 7}, "events": [{"status": "ok"}, {"status": "bad"}]}
    assert answer(200, body).find(path) == found


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000, b'{"a":'])
def test_a_body_that_is_not_json_is_none(body: bytes) -> None:
    assert Response(200, {}, body).json is None
    assert Response(200, {}, body).find("a") is None
