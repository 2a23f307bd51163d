"""Whose request it is."""

import ast
import base64
import inspect

import pytest

from gateway.config import Source
from gateway.web.keys import Keys, Kind, key_in

WRITE_KEY, PUBLIC_KEY = "write-key-of-the-shop", "public-key-of-the-shop"
EVENT = {"event_name": "Lead", "event_id": "l-1"}


def basic(user):
    return "Basic " + base64.b64encode(user.encode()).decode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {WRITE_KEY}"},
        {"Authorization": f"bearer  {WRITE_KEY}"},
        {"Authorization": basic(f"{WRITE_KEY}:")},
        {"Authorization": basic(f"{WRITE_KEY}:ignored")},
        {"X-Write-Key": WRITE_KEY},
        {"X-Write-Key": "its-second-key"},
    ],
)
async def test_a_key_comes_in_three_ways(client, headers):
    del client.headers["Authorization"]
    assert (await client.post("/v1/events", json=EVENT, headers=headers)).status_code == 202


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "missing_key"),
        ({"Authorization": "Bearer "}, 401, "missing_key"),
        ({"Authorization": "Basic %%%"}, 401, "missing_key"),
        ({"Authorization": "Bearer nobody-has-this"}, 401, "unknown_key"),
        ({"X-Write-Key": WRITE_KEY[:-1]}, 401, "unknown_key"),
        ({"X-Write-Key": PUBLIC_KEY}, 403, "wrong_kind_of_key"),
        ({"X-Write-Key": "key-of-a-webhook"}, 403, "wrong_kind_of_source"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/events", "/v1/validate"])
async def test_a_request_without_the_right_key_is_refused(client, stored, path, headers, status, code):
    del client.headers["Authorization"]
    answer = await client.post(path, json=EVENT, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("www-authenticate" in answer.headers) is (status == 401)
    assert stored() == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/v1/events", WRITE_KEY, 202),
        ("/v1/validate", WRITE_KEY, 200),
        ("/v1/collect", PUBLIC_KEY, 202),
        ("/v1/events", PUBLIC_KEY, 403),
        ("/v1/validate", PUBLIC_KEY, 403),
        ("/v1/collect", WRITE_KEY, 403),
    ],
)
@pytest.mark.parametrize("way", ["bearer", "basic", "header"])
async def test_neither_kind_of_key_does_the_others_work(client, path, key, status, way):
    del client.headers["Authorization"]
    ways = {
        "bearer": {"Authorization": f"Bearer {key}"},
        "basic": {"Authorization": basic(f"{key}:")},
        "header": {"X-Write-Key": key},
    }
    answer = await client.post(path, json=EVENT, headers={**ways[way], "Origin": "https://shop.example"})
    assert answer.status_code == status


def test_a_lookup_compares_digests_and_no_keys():
    """What takes a raw key is the keyed digest alone: no comparison whose time would tell of a key."""
    tree = ast.parse(inspect.getsource(Keys))
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Compare) for part in ast.walk(node) if is_key(part)]
    assert uses == []
    assert is_key(ast.parse("key == other").body[0].value.left)


def is_key(node):
    return isinstance(node, ast.Name) and node.id in ("key", "token")


def test_keys_are_kept_only_as_digests_of_each_processs_own_secret():
    source = Source(name="web", write_keys=(WRITE_KEY,))
    one, other = Keys([source]), Keys([source])
    assert one.source(WRITE_KEY.encode(), Kind.SECRET) is source
    assert one._holders.keys().isdisjoint(other._holders)
    assert all(WRITE_KEY.encode() not in digest and len(digest) == 16 for digest in one._holders)


def test_the_headers_key_is_the_first_that_fits():
    assert key_in({b"authorization": b"Digest x", b"x-write-key": b"k"}) == b"k"
    assert key_in({b"authorization": b"Bearer a", b"x-write-key": b"b"}) == b"a"
    assert key_in({}) is None
