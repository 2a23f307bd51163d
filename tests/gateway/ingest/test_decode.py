"""Bodies: what is plain JSON within its limits is read, everything else is refused with a code."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ingest.decode import Body, is_crowded, read_body
from gateway.ingest.problem import RequestRefused
from gateway.model.errors import Fault

JSON, NDJSON = "application/json", "application/x-ndjson"
MAX_BYTES, MAX_EVENTS = 100_000, 50

COMPRESS = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


def read(data: bytes, kind: str = JSON, encoding: str = "") -> Body:
    return read_body(data, kind, encoding, max_bytes=MAX_BYTES, max_events=MAX_EVENTS)


def refusal(data: bytes, kind: str = JSON, encoding: str = "") -> tuple[int, str]:
    with pytest.raises(RequestRefused) as caught:
        read(data, kind, encoding)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b'{"a": 1}', [{"a": 1}]),
        (b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        (b'{"events": [{"a": 1}]}', [{"a": 1}]),
        (b' \r\n {"a": "\xc3\xa9\\u00e9"} \n', [{"a": "éé"}]),
        (b"[1, null]", [1, None]),  # each is refused alone, by the schema
        (b'{"events": [{"a": 1}], "more": 1}', [{"events": [{"a": 1}], "more": 1}]),
    ],
)
def test_one_event_a_list_or_a_wrapped_list(data: bytes, events: list[Any]) -> None:
    assert read(data).events == events


@pytest.mark.parametrize("kind", [JSON, "Application/JSON; charset=utf-8", "application/json;charset=UTF-8"])
def test_the_type_is_read_without_its_parameters(kind: str) -> None:
    assert read(b"{}", kind).events == [{}]


@pytest.mark.parametrize("kind", ["", "text/plain", "application/jsonp", "application/x-www-form-urlencoded"])
def test_other_types_are_refused(kind: str) -> None:
    assert refusal(b"{}", kind) == (415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "compress"])
def test_other_encodings_are_refused(encoding: str) -> None:
    assert refusal(b"{}", JSON, encoding) == (415, "unsupported_encoding")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"a": 1} {"b": 2}', "malformed_json"),
        (b"{'a': 1}", "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b'{"a": NaN}', "malformed_json"),
        (b'{"a": Infinity}', "malformed_json"),
        (b'{"a": -Infinity}', "malformed_json"),
        (b'{"a": 1e400}', "malformed_json"),
        (b'{"a": 01}', "malformed_json"),
        (b'{"a": "\x01"}', "malformed_json"),
        (b'{"a": "\x00"}', "malformed_json"),
        (b'{"a": "\\ud800"}', "malformed_json"),
        (b'{"a": "\\udc00\\ud800"}', "malformed_json"),
        (b'{"a": "\\ud800x"}', "malformed_json"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_utf8"),
        ('{"a": "é"}'.encode("latin-1"), "invalid_utf8"),
        ('{"a": 1}'.encode("utf-16"), "malformed_json"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "too_deep"),
        (b"[]", "no_events"),
        (b'{"events": []}', "no_events"),
        (b"3", "no_events"),
        (b"null", "no_events"),
        (b'"text"', "no_events"),
    ],
)
def test_what_is_not_plain_json_is_refused(data: bytes, code: str) -> None:
    assert refusal(data) == (400, code)


def test_a_refusal_quotes_nothing() -> None:
    with pytest.raises(RequestRefused) as caught:
        read(b'{"email": jane.doe@example.com}')
    assert "jane" not in caught.value.detail


@pytest.mark.parametrize("kind", [JSON, NDJSON])
def test_too_many_events_are_refused(kind: str) -> None:
    rows = [b"{}"] * (MAX_EVENTS + 1)
    data = b"[" + b",".join(rows) + b"]" if kind == JSON else b"\n".join(rows)
    assert refusal(data, kind) == (413, "too_many_events")


def test_a_bad_line_costs_only_itself() -> None:
    body = read(b'{"a": 1}\r\n\n  \nnot json: jane@example.com\n{"b": "\xff"}\n{"c": 3}', NDJSON)
    assert body.events[0] == {"a": 1}
    assert [one.code for one in body.events[1:3]] == ["malformed_json", "invalid_utf8"]
    assert body.events[3] == {"c": 3}
    assert all(
        isinstance(one, Fault) and "jane" not in one.message and "line" in one.message for one in body.events[1:3]
    )


def test_an_empty_file_of_lines_is_refused() -> None:
    assert refusal(b"\n \r\n", NDJSON) == (400, "no_events")


@pytest.mark.parametrize(("text", "odd"), [(b'{"a": "\\u0000"}', True), (b'{"a": "b"}', False)])
def test_a_nul_character_makes_a_body_odd(text: bytes, odd: bool) -> None:
    assert read(text).odd is odd


@pytest.mark.parametrize("encoding", COMPRESS)
class TestCompressed:
    def test_is_read(self, encoding: str) -> None:
        assert read(COMPRESS[encoding](b'{"a": 1}'), JSON, encoding.upper()).events == [{"a": 1}]

    def test_may_have_several_parts(self, encoding: str) -> None:
        parts = b"".join(COMPRESS[encoding](b'{"a": %d}\n' % number) for number in range(40))
        assert read(parts, NDJSON, encoding).events == [{"a": number} for number in range(40)]

    def test_cut_off_anywhere_is_refused(self, encoding: str) -> None:
        whole = COMPRESS[encoding](b"".join(b'{"a": "%d"}\n' % number for number in range(30)))
        codes = {refusal(whole[:at], NDJSON, encoding) for at in range(len(whole))}
        assert codes == {(400, f"malformed_{encoding}")}

    def test_a_frame_without_an_end_is_refused(self, encoding: str) -> None:
        # whole lines come out of it: taking them would lose the others in silence
        if encoding == "zstd":
            compressor = zstandard.ZstdCompressor().compressobj()
            cut = compressor.compress(b'{"a": 1}\n') + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        else:
            cut = gzip.compress(b'{"a": 1}\n')[:-8]
        assert refusal(cut, NDJSON, encoding) == (400, f"malformed_{encoding}")

    def test_with_something_behind_it_is_refused(self, encoding: str) -> None:
        assert refusal(COMPRESS[encoding](b"{}") + b"more", JSON, encoding) == (400, f"malformed_{encoding}")

    def test_that_is_not_compressed_is_refused(self, encoding: str) -> None:
        assert refusal(b'{"a": 1}', JSON, encoding) == (400, f"malformed_{encoding}")

    def test_just_at_the_limit_is_read(self, encoding: str) -> None:
        text = json.dumps({"a": "x" * (MAX_BYTES - 9)}).encode()
        assert len(text) == MAX_BYTES
        assert len(read(COMPRESS[encoding](text), JSON, encoding).events) == 1
        assert refusal(COMPRESS[encoding](text + b" "), JSON, encoding) == (413, "body_too_large")

    def test_a_bomb_is_noticed_before_it_is_in_memory(self, encoding: str) -> None:
        bomb = COMPRESS[encoding](b"0" * 200_000_000)
        tracemalloc.start()
        try:
            assert refusal(bomb, JSON, encoding) == (413, "body_too_large")
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()


def test_a_zstd_window_beyond_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    huge = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = huge.compress(b"{}") + huge.flush()
    assert refusal(data, JSON, "zstd") == (400, "malformed_zstd")


def test_a_plain_body_past_the_limit_is_refused() -> None:
    assert refusal(b" " * MAX_BYTES + b"{}") == (413, "body_too_large")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([JSON, NDJSON]), st.sampled_from(["", "gzip", "zstd"]))
def test_any_bytes_are_read_or_refused(data: bytes, kind: str, encoding: str) -> None:
    try:
        body = read(data, kind, encoding)
    except RequestRefused:
        return
    assert body.events


@pytest.mark.parametrize("part", [gzip.compress(b"", mtime=0), zstandard.compress(b"")], ids=["gzip", "zstd"])
def test_a_body_of_very_many_empty_parts_is_refused(part):
    encoding = "gzip" if part[:2] == b"\x1f\x8b" else "zstd"
    fine = part * 900 + (gzip.compress(b"{}") if encoding == "gzip" else zstandard.compress(b"{}"))
    assert read_body(fine, JSON, encoding, max_bytes=100, max_events=1).events == [{}]
    with pytest.raises(RequestRefused) as refused:
        read_body(part * 1100, JSON, encoding, max_bytes=100, max_events=1)
    assert (refused.value.status, refused.value.code) == (413, "too_many_parts")


@pytest.mark.parametrize("data", [b"[" + b"{}," * 400_000 + b"{}]", b'{"a":' * 401_000, b"[" * 500_000])
def test_a_body_of_very_many_values_is_refused_before_it_is_parsed(data):
    with pytest.raises(RequestRefused) as refused:
        read_body(data, JSON, "", max_bytes=10**7, max_events=10**7)
    assert refused.value.code == "too_many_values"


def test_empty_lines_are_no_way_to_make_many():
    with pytest.raises(RequestRefused) as refused:
        read_body(b"\n" * 100_000, NDJSON, "", max_bytes=10**7, max_events=10)
    assert refused.value.code == "too_many_events"


@pytest.mark.parametrize(
    "event", [{"a": [[1] * 100] * 300}, {"a": {"b": [1] * 30_000}}, {str(n): n for n in range(20_001)}]
)
def test_a_crowded_event_is_told_from_an_ordinary_one(event):
    assert is_crowded(event)
    assert not is_crowded({"a": [[1] * 90] * 200})
