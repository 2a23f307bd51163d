"""Whatever is in a file, the run over it ends, and counts each row once."""

from __future__ import annotations

import gzip
import tomllib

import anyio
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import config, registry
from gateway.ingest.formats.files.events import Translator
from gateway.ingest.formats.files.mapping import mapping
from gateway.ingest.importing.file import FileUnusable, opened
from gateway.ingest.importing.resume import ImportRefused, begin
from gateway.ingest.importing.rows import rows
from gateway.ingest.importing.run import File, Import
from gateway.ingest.importing.tally import Tally, decoded, encoded
from gateway.ingest.pipeline import Door
from gateway.model.errors import ConfigError
from gateway.outbox import Outbox, imports

TEXT = """
separator = ";"
timezone = "UTC"
ignore = ["*"]
group_by = "custom_data.order_id"
[constants]
event_time = 1794990000
"""
HEADS = [b"event_name,order_id,email,value,sku\n", b"event_name;order_id;email;contents;ad_user_data\n", b""]
PIECES = st.sampled_from(
    [b'"', b",", b";", b"\r\n", b"\n", b"\xff", b"\0", b"Purchase", b"Lead", b"o1", b"a@example.com", b"12.5", b"[]",
     b'{"event_name": "Lead", "event_id": 1}\n', b'{"user_data": ', b"granted", b"\\u0000", b"\xef\xbb\xbf", b"sep=;\n"]
)  # fmt: skip


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    path = tmp_path_factory.mktemp("door") / "gateway.toml"
    path.write_text(
        '[sources.web]\nwrite_key = "made-up-write-key-000001"\n[destinations.sink]\nplugin = "webhook"\n'
        'url = "https://sink.example/"\nsecret = "a-secret-of-the-tests-0001"\n',
        "utf-8",
    )
    loaded = config.load(path, {}, lambda _: registry.load().destinations)
    return Door(loaded, None), loaded.sources["web"]


@given(
    st.sampled_from(HEADS), st.lists(PIECES, max_size=60).map(b"".join) | st.binary(max_size=200), st.booleans(),
    st.sampled_from([bytes, gzip.compress, zstandard.ZstdCompressor().compress]), st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=200)
def test_any_bytes_come_to_an_end(door, tmp_path_factory, head, data, mapped, pack, cut):
    path = tmp_path_factory.getbasetemp() / "any"
    packed = pack(head + data)
    path.write_bytes(packed[: len(packed) - cut])
    told = []
    said = mapping(tomllib.loads(TEXT) if mapped else {}, "m")
    try:
        with opened(path) as file:
            found = rows(file, said, mapped=mapped, strict=True)
            translator = Translator(found.plan, b"key") if found.plan is not None else None
            run = Import(
                door[0], door[1], None, None, translator, b"key", lambda *one: told.append(one), lambda tally: None
            )
            assert anyio.run(run.run, found.rows)
    except (ConfigError, FileUnusable):
        return
    tally = run.tally
    assert tally.accepted + tally.duplicates + tally.rejected + tally.left_out <= tally.rows
    assert len([one for one in told if one[0] == "error"]) == sum(tally.errors.values())
    assert not tally.rejected or tally.errors


def test_a_tally_comes_back_as_it_was():
    one = Tally(rows=3, accepted=2, errors={"a": 1}, destinations={"x": {"queued": 2}})
    other = decoded(encoded(one))
    assert encoded(other) == encoded(one)
    both = decoded(encoded(one)).plus(other)
    assert (both.rows, both.errors["a"], both.destinations["x"]["queued"]) == (6, 2, 4)


HOUR, DAY = 3600.0, 86400.0


@pytest.mark.parametrize(
    ("finished", "mapping_of_then", "age_s", "again", "expected"),
    [
        (False, b"m", 30 * DAY, False, 40),  # gone on with, however much later
        (False, b"m", HOUR, True, 0),
        (False, b"n", HOUR, False, 0),  # its rows are duplicates
        (False, b"n", 7 * DAY, False, None),
        (True, b"m", HOUR, False, 0),
        (True, b"m", 7 * DAY - HOUR / 2, False, None),  # the run would last until they are forgotten
        (True, b"m", 30 * DAY, True, 0),
    ],
)  # fmt: skip
def test_where_a_run_begins(tmp_path, finished, mapping_of_then, age_s, again, expected):
    now, file = 1_795_000_000.0, File(b"f", "web")
    outbox = Outbox(tmp_path / "g.db")
    outbox.start()

    def took(db):
        imports.begin(db, b"f", "web", mapping_of_then, size=9, began_at=now - age_s, now=now - age_s)
        tally = encoded(Tally(rows=40))
        imports.move(db, b"f", "web", since=0, to=40, tally=tally, now=now - age_s, finished=finished)

    def again_now():
        return outbox.write_blocking(lambda db: begin(db, file, b"m", now, window_s=7 * DAY, again=again))

    try:
        outbox.write_blocking(took)
        if expected is None:
            with pytest.raises(ImportRefused, match="40 rows"):
                again_now()
        else:
            position, tally = again_now()
            assert (position, tally.rows) == (expected, expected)
    finally:
        outbox.close()
