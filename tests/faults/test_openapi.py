"""Requests made from the OpenAPI document, right and wrong ones, with every kind of key: what is answered is what the
document says, and never a 5xx.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.config import OutboxSettings, Server, Settings, Source
from gateway.outbox import Outbox
from gateway.outbox.lanes import open_lanes
from gateway.web.app import App
from gateway.web.service import Effective, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WRITE_KEY, PUBLIC_KEY, ADMIN = "write-key-of-the-shop", "public-key-of-the-shop", "admin-token-of-the-shop-00000000"
#: What requests bring along: right, of the wrong kind, unknown, garbage, nothing.
CREDENTIALS: tuple[dict[str, str], ...] = (
    {"Authorization": f"Bearer {WRITE_KEY}"},
    {"X-Write-Key": WRITE_KEY},
    {"Authorization": f"Bearer {PUBLIC_KEY}", "Origin": "https://shop.example"},
    {"X-Write-Key": PUBLIC_KEY, "Origin": "https://other.example"},
    {"Authorization": f"Bearer {ADMIN}"},
    {"Authorization": "Bearer no-such-key"},
    {"Authorization": "Basic !!!"},
    {},
)
#: What is asked of each answer. Whether a request should have been taken is not among it: that depends on its key, and
#: on rules that a schema cannot say (times, currencies, personal data).
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Paths for which a public key is the right one.
FOR_PAGES = ("/v1/collect", "/g/collect")
#: How often each made request is sent.
SENT = 3
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """The real application on a real outbox."""
    configured = Settings(
        path=tmp_path / "gateway.toml",
        server=Server(admin_tokens=(ADMIN,)),
        outbox=OutboxSettings(url="sqlite:///gateway.db", path=tmp_path / "gateway.db"),
        sources={
            "web": Source(
                name="web",
                write_keys=(WRITE_KEY,),
                public_keys=(PUBLIC_KEY,),
                origins=("https://shop.example",),
                region="US",
            )
        },
        destinations={},
    )
    outbox = Outbox(configured.outbox.path)
    outbox.start()
    outbox.write_blocking(lambda db: open_lanes(db, {}))
    yield App(Service(Effective.of(configured, outbox), outbox))
    outbox.close()


def test_answers_are_what_the_document_says(
    app: App,
    size: Callable[[int, int], int],
    figure: Callable[[str], None],
    watch: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the generator puts one word into several fields, most of which may be kept; secrets are looked for all the same
    monkeypatch.setattr(watch, "person", lambda value: None)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    doors = [one for one in operations if one.method == "post"]
    seen: Counter[int] = Counter()
    seed = int(os.environ.get("OPENAPI_SEED", "0"))
    wanted = size(2_000, 50_000)
    for operation in operations:
        for mode in MODES if operation in doors else (GenerationMode.POSITIVE,):
            _drive(
                operation,
                mode,
                wanted // (len(doors) * len(MODES) * SENT) + 1 if operation in doors else 10,
                seed,
                seen,
            )
    total = sum(seen.values())
    assert total >= wanted
    assert {200, 202, 400, 401, 403, 404} <= set(seen)
    told = ", ".join(f"{status} {count:,}" for status, count in sorted(seen.items()))
    figure(f"{total:,} requests made from /openapi.json (seed {seed}): {told}; no 5xx, no violation of the document")


def _drive(operation: Any, mode: GenerationMode, count: int, seed: int, seen: Counter[int]) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), drawn=st.sampled_from(CREDENTIALS))
    def run(case: Any, drawn: dict[str, str]) -> None:
        headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
        right = CREDENTIALS[2 if operation.path in FOR_PAGES else 4 if "admin" in operation.path else 0]
        for credentials in (right, right, drawn):  # the second is a duplicate, and answered as one
            case.headers = headers | credentials
            response = case.call()
            seen[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)
            if response.status_code >= 400:
                problem = response.json()
                if "error" in problem:  # as another API tells it
                    assert problem["error"]["fbtrace_id"] == response.headers["x-request-id"][0]
                    continue
                assert problem["status"] == response.status_code
                assert problem["type"].endswith(":" + problem["code"])
            if response.status_code in (429, 503):
                assert int(response.headers["retry-after"][0]) > 0

    run()
