"""`GET /collect.js`: the browser snippet. `python -m gateway.web.snippet` makes what is served of its source."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

FOLDER = Path(__file__).parent / "static"
SOURCE, SERVED = FOLDER / "collect.js", FOLDER / "collect.min.js"

#: Bytes that the snippet may have on the wire.
MOST_BYTES = 3072

#: How it is minified; the minifier comes with `npm ci --prefix tests/sdks`.
MINIFIER = Path(__file__).parents[2] / "tests/sdks/node_modules/.bin/terser"
_OPTIONS = ("--ecma", "2020", "--compress", "passes=3,unsafe_arrows=true", "--mangle")

#: A page's copy is an hour old at most, and is renewed in the background for a day after that.
#: Any page may load it, one that isolates itself (COEP) too: the events are what its origin counts for.
HEADERS = {
    "cache-control": "public, max-age=3600, stale-while-revalidate=86400",
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
    "vary": "accept-encoding",
}


class Served(NamedTuple):
    """The file, as it is and compressed."""

    plain: bytes
    zipped: bytes
    etag: str


@cache
def served() -> Served:
    """What is served, read once."""
    plain = SERVED.read_bytes()
    return Served(plain, gzip.compress(plain, 9, mtime=0), f'W/"{hashlib.sha256(plain).hexdigest()[:20]}"')


async def get_snippet(request: Request) -> Response:
    """The snippet, or 304 for who has it."""
    file = served()
    headers = {**HEADERS, "etag": file.etag}
    if file.etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    if _takes_gzip(request.headers):
        return Response(file.zipped, media_type="text/javascript", headers={**headers, "content-encoding": "gzip"})
    return Response(file.plain, media_type="text/javascript", headers=headers)


def _takes_gzip(headers: Mapping[str, str]) -> bool:
    offers = (one.partition(";") for one in headers.get("accept-encoding", "").split(","))
    return any(
        coding.strip().lower() == "gzip" and weight.replace(" ", "") not in ("q=0", "q=0.0")
        for coding, _, weight in offers
    )


def minified() -> bytes:
    """What is to be served, made of the source anew."""
    made = subprocess.run([MINIFIER, SOURCE, *_OPTIONS], capture_output=True, check=True)  # noqa: S603 - our own file
    return made.stdout.strip() + b"\n"


if __name__ == "__main__":
    SERVED.write_bytes(minified())
    size = len(gzip.compress(SERVED.read_bytes(), 9, mtime=0))
    print(f"{SERVED}: {size} of {MOST_BYTES} bytes when gzipped", file=sys.stderr)
