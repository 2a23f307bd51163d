"""Forms as bodies: what browsers and HTTP libraries write comes back, and nothing takes long."""

from __future__ import annotations

from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.formats.forms import MULTIPART, URLENCODED, fields, urlencoded
from gateway.ingest.problem import RequestRefused

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


@given(st.dictionaries(NAMES, TEXTS, max_size=8))
def test_what_was_written_comes_back(given_fields: dict[str, str]) -> None:
    expected = {name: value.encode() for name, value in given_fields.items()}
    assert fields(urlencode(given_fields).encode(), URLENCODED) == expected


@given(st.binary(max_size=200))
def test_whatever_comes_is_read(data: bytes) -> None:
    urlencoded(data)
    fields(data, f"{MULTIPART}; boundary=x")


@given(st.dictionaries(st.text("abcdef_", min_size=1, max_size=10), TEXTS, max_size=8))
def test_a_form_in_parts(given_fields: dict[str, str]) -> None:
    files = [(name, (None, value.encode())) for name, value in given_fields.items()]
    request = httpx.Request("POST", "http://x", files=files) if files else None
    if request is not None:
        request.read()
        expected = {name: value.encode() for name, value in given_fields.items()}
        assert fields(request.content, request.headers["content-type"]) == expected


def test_the_first_of_a_name_counts() -> None:
    assert urlencoded(b"a=1&a=2&b=%7B%22+%22%7D&c") == {"a": b"1", "b": b'{" "}', "c": b""}


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"a=1&" * 200, URLENCODED, "too_many_values"),
        (b"--x\r\n" * 200, f"{MULTIPART}; boundary=x", "too_many_values"),
        (b"--x\r\n", MULTIPART, "malformed_form"),
    ],
)
def test_what_is_refused(data: bytes, kind: str, code: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        fields(data, kind)
    assert caught.value.code == code
