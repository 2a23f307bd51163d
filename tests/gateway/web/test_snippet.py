"""`GET /collect.js`: small, cacheable, and made of its source."""

import gzip
import os

import pytest

from gateway.web.snippet import MINIFIER, MOST_BYTES, SERVED, minified


@pytest.mark.anyio
async def test_it_is_a_script_that_any_page_may_load_and_keep_for_an_hour(client):
    answer = await client.get("/collect.js", headers={"Accept-Encoding": "identity"})
    assert answer.status_code == 200
    assert answer.content == SERVED.read_bytes()
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=3600, stale-while-revalidate=86400"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["vary"] == "accept-encoding"
    assert "content-encoding" not in answer.headers
    assert "set-cookie" not in answer.headers


@pytest.mark.anyio
async def test_it_costs_a_page_three_kilobytes(client):
    async with client.stream("GET", "/collect.js", headers={"Accept-Encoding": "br, gzip;q=0.8"}) as answer:
        body = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert len(body) == int(answer.headers["content-length"]) <= MOST_BYTES == 3072
    assert gzip.decompress(body) == SERVED.read_bytes()


@pytest.mark.anyio
@pytest.mark.parametrize("offer", ["br", "gzip;q=0", "gzip; q=0.0", "xgzip"])
async def test_it_is_not_compressed_for_who_does_not_ask(client, offer):
    assert "content-encoding" not in (await client.get("/collect.js", headers={"Accept-Encoding": offer})).headers


@pytest.mark.anyio
async def test_who_has_it_is_told_so(client):
    tag = (await client.get("/collect.js")).headers["etag"]
    again = await client.get("/collect.js", headers={"If-None-Match": f'"another", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["cache-control"].startswith("public")
    assert (await client.get("/collect.js", headers={"If-None-Match": '"another"'})).status_code == 200


@pytest.mark.anyio
async def test_it_can_be_asked_about_and_not_posted_to(client):
    head = await client.head("/collect.js?key=some&name=gw")
    assert (head.status_code, head.content) == (200, b"")
    assert (await client.post("/collect.js")).status_code == 405


def test_what_is_served_is_made_of_its_source():
    """`python -m gateway.web.snippet` has been run after the last change."""
    if not MINIFIER.exists():
        assert not os.environ.get("CI"), "CI installs the minifier"
        pytest.skip("npm ci --prefix tests/sdks has not been run")
    assert minified() == SERVED.read_bytes()
