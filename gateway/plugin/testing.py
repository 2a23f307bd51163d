"""The contract suite: what every destination must hold, for five lines in its test.

    TestAcme = destination_contract(ACME, golden=Path(__file__).parent / "golden/acme")

A golden case is a JSON file (`schemas/golden-case.schema.json`): events as a site posts them, the requests they become,
and how the platform's answers are judged. `pytest --update-golden` rewrites `expect`; read that diff as you read code.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import random
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from jsonschema import Draft202012Validator

from gateway.model.delivery import Kind, Skip, Verdict
from gateway.model.event import MATCH_KEYS, Consent, Event
from gateway.plugin.destination import Batch, Destination, Request, Response
from gateway.plugin.hookspecs import PROJECT
from gateway.plugin.verdicts import MESSAGE_CHARACTERS
from gateway.privacy.clickids import build_fbc
from gateway.privacy.hashing import DigestPlan, hash_user_data
from gateway.privacy.minimize import Lens
from gateway.privacy.normalize import RULES

if TYPE_CHECKING:
    from types import ModuleType

#: When golden events happened, unless they say: 2026-11-20T14:03:09Z.
GOLDEN_TIME = 1795183389

#: Answers that no classification may trip over.
ODD_BODIES = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"1",
    b'"x"',
    b"<html>502</html>",
    b"\xff\xfe",
    b'{"error":1}',
    b'{"error":[]}',
)
ODD_CODES: tuple[Any, ...] = (None, 0, 1, -1, "1", "", [], {}, 10**30, True)
STATUSES = (
    0,
    200,
    201,
    204,
    207,
    301,
    302,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    410,
    413,
    415,
    422,
    429,
    500,
    502,
    503,
    504,
    599,
)


def load(path: str | Path) -> ModuleType:
    """A plugin file as a module, loaded the way the gateway loads files of `plugins_dir`."""
    path = Path(path)
    name = "gateway_plugin_" + re.sub(r"\W", "_", str(path.resolve()))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import does: dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Mapped:
    """What a destination makes of some events."""

    requests: tuple[Request, ...]
    #: Number of items in each of `requests`.
    sizes: tuple[int, ...]
    #: Index of the event → why it was skipped.
    skipped: Mapping[int, Skip]


def public_config(destination: Destination, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as the destination's functions see it: defaults filled in, secrets left out."""
    properties = destination.config_schema.get("properties", {})
    defaults = {key: rule["default"] for key, rule in properties.items() if "default" in rule}
    given = {**defaults, **config}
    return {key: value for key, value in given.items() if not properties.get(key, {}).get("writeOnly")}


def canonical(raw: Mapping[str, Any], destination: Destination) -> Event:
    """A posted event as the door would store it for this destination alone, with every consent as given."""
    raw = copy.deepcopy(dict(raw))
    plan = DigestPlan.of([(destination.digests, destination.clear)])
    event_time = raw.get("event_time", GOLDEN_TIME)
    user_data = dict(raw.get("user_data", {}))
    if (fbclid := user_data.pop("fbclid", None)) and "fbc" not in user_data:
        user_data["fbc"] = build_fbc(fbclid, event_time)
    hashed = hash_user_data(user_data, plan, None)
    consent = dict(raw.get("consent", {}))
    if isinstance(consent.get("gpp_sid"), list):
        consent["gpp_sid"] = tuple(consent["gpp_sid"])
    return Event(
        event_name=raw["event_name"],
        event_id=str(raw.get("event_id", "golden-event")),
        event_time=event_time,
        action_source=raw.get("action_source", "website"),
        event_source_url=raw.get("event_source_url"),
        referrer_url=raw.get("referrer_url"),
        user_data=hashed.rest,
        digests=hashed.digests,
        clear=hashed.clear,
        custom_data=raw.get("custom_data", {}),
        consent=Consent(**consent),
        app=raw.get("app", {}),
        messaging=raw.get("messaging", {}),
        original_event=raw.get("original_event", {}),
        test=raw.get("test", False),
        received_at=GOLDEN_TIME,
    )


def views(destination: Destination, case: Mapping[str, Any]) -> list[Event]:
    """The events of a golden case as the destination's functions get them."""
    config = public_config(destination, case.get("config", {}))
    names = {**destination.names_for(config), **case.get("names", {})}
    lens = Lens.of(destination.digests, destination.clear, limited_needs_ip=destination.limited_needs_ip)
    found = []
    for raw in case["events"]:
        event = canonical(raw, destination)
        limited = bool(case.get("limited"))
        region = event.consent.region
        found.append(lens.view(event, names.get(event.event_name, event.event_name), limited=limited, region=region))
    return found


def batches(destination: Destination, case: Mapping[str, Any]) -> tuple[list[Batch], dict[int, Skip]]:
    """The mapped events of a golden case, gathered as the core does, and by index why the others were skipped."""
    config = public_config(destination, case.get("config", {}))
    groups: dict[Any, list[dict[str, object]]] = {}
    skipped: dict[int, Skip] = {}
    for index, event in enumerate(views(destination, case)):
        item = destination.map_event(event, config)
        if isinstance(item, Skip):
            skipped[index] = item
            continue
        group = destination.group_key(event, config) if destination.group_key else None
        groups.setdefault((event.test, group), []).append(item)
    return [Batch.of(items, group=group, test=test) for (test, group), items in groups.items()], skipped


def run(destination: Destination, case: Mapping[str, Any]) -> Mapped:
    """Map and build a golden case: one request for each group of events, in order."""
    config = public_config(destination, case.get("config", {}))
    found, skipped = batches(destination, case)
    requests = tuple(destination.build_request(batch, config) for batch in found)
    return Mapped(requests, tuple(len(batch) for batch in found), skipped)


def as_expected(mapped: Mapped) -> dict[str, Any]:
    """The `expect` part of a golden case."""
    requests = []
    for request in mapped.requests:
        shown = {"method": request.method, "url": request.url, "params": dict(request.params)}
        shown |= {"headers": dict(request.headers), "json": request.json}
        requests.append({key: value for key, value in shown.items() if value or key in ("method", "url", "json")})
    expect: dict[str, Any] = {"requests": json.loads(json.dumps(requests))}
    if mapped.skipped:
        expect["skipped"] = [
            {"index": index, "reason": skip.reason, **({"field": skip.field} if skip.field else {})}
            for index, skip in mapped.skipped.items()
        ]
    return expect


def response_of(reply: Mapping[str, Any]) -> Response:
    """The answer that a golden case's reply describes."""
    body = reply.get("body", "")
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    headers = {name.lower(): value for name, value in reply.get("headers", {}).items()}
    return Response(reply["status"], headers, data)


def kinds(verdict: Verdict | Any) -> str | list[str]:
    """A classification as golden cases write it."""
    return str(verdict.kind) if isinstance(verdict, Verdict) else [str(one.kind) for one in verdict]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _strings(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _strings(entry)


def _raw_identities(events: list[Mapping[str, Any]]) -> set[str]:
    """E-mail addresses, phone numbers, names and streets of a case in the clear, that must not leave."""
    found: set[str] = set()
    for event in events:
        user_data = event.get("user_data", {})
        for key in ("email", "phone", "first_name", "last_name", "street", "date_of_birth"):
            if key in MATCH_KEYS and key in user_data:
                found |= {text.strip().lower() for text in _strings(user_data[key]) if len(text.strip()) > 3}
    return {text for text in found if not re.fullmatch(r"[0-9a-f]{64}", text)}


class _NoOutside:
    """Fails the test when a pure function reaches for the network, the disk or the clock."""

    def __enter__(self) -> None:
        self._stack = [
            mock.patch.object(socket, "socket", self._refuse),
            mock.patch("builtins.open", self._refuse),
            mock.patch("io.open", self._refuse),  # what pathlib calls
            mock.patch.object(time, "time", self._refuse),
            mock.patch.object(time, "time_ns", self._refuse),
            mock.patch.object(time, "monotonic", self._refuse),
        ]
        for patch in self._stack:
            patch.start()

    def __exit__(self, *exc: object) -> None:
        for patch in self._stack:
            patch.stop()

    @staticmethod
    def _refuse(*args: object, **kwargs: object) -> Any:
        raise AssertionError("a destination's functions are pure: no network, no disk, no clock")


def destination_contract(destination: Destination, *, golden: Path) -> type:
    """A test class that holds `destination` to the contract, over the golden cases in the folder `golden`."""
    paths = sorted(golden.glob("*.json"))
    cases = {path.stem: json.loads(path.read_text("utf-8")) for path in paths}

    class Contract:
        """The contract suite of one destination."""

        def test_has_golden_cases(self) -> None:
            assert cases, f"no golden case in {golden}: write one, it is test and documentation at once"

        def test_declaration_is_complete(self) -> None:
            assert re.fullmatch(r"[a-z][a-z0-9_]*", destination.name)
            assert destination.api_version
            assert destination.docs.startswith("https://")
            assert isinstance(hash(frozenset(destination.purposes)), int)
            for rules in (destination.digests, destination.clear):
                assert set(rules.values()) <= set(RULES), set(rules.values()) - set(RULES)

        def test_config_is_described(self) -> None:
            Draft202012Validator.check_schema(destination.config_schema)
            assert destination.config_schema["type"] == "object"
            for key, rule in destination.config_schema.get("properties", {}).items():
                assert rule.get("description"), f"config key {key} has no description"
            for auth in destination.auths:
                if key := getattr(auth, "key", None):
                    rule = destination.config_schema["properties"][key]
                    assert rule.get("writeOnly"), f"{key} is a secret: mark it writeOnly"

        @pytest.mark.parametrize("name", cases)
        def test_golden(self, name: str, pytestconfig: pytest.Config) -> None:
            case = cases[name]
            assert case.get("about"), "say in a sentence what the case shows"
            expect = as_expected(run(destination, case))
            if pytestconfig.getoption("--update-golden", default=False):
                case["expect"] = expect
                (golden / f"{name}.json").write_text(json.dumps(case, indent=2, ensure_ascii=False) + "\n", "utf-8")
            assert expect == case["expect"]

        @pytest.mark.parametrize("name", cases)
        def test_config_of_case_is_valid(self, name: str) -> None:
            schema = {"additionalProperties": False, **destination.config_schema}
            errors = list(Draft202012Validator(schema).iter_errors(cases[name].get("config", {})))
            assert not errors, errors

        @pytest.mark.parametrize("name", cases)
        def test_same_in_same_out_and_input_unchanged(self, name: str) -> None:
            case = copy.deepcopy(cases[name])
            config = public_config(destination, case.get("config", {}))
            events = views(destination, case)
            before = copy.deepcopy((events, config))
            with _NoOutside():
                first = [destination.map_event(event, config) for event in events]
                second = [destination.map_event(event, config) for event in events]
            assert first == second
            assert (events, config) == before, "map_event changed its input"
            for batch in batches(destination, case)[0]:
                items = copy.deepcopy(tuple(batch))
                with _NoOutside():
                    one, other = destination.build_request(batch, config), destination.build_request(batch, config)
                assert one == other
                assert (tuple(batch), config) == (items, before[1]), "build_request changed its input"

        @pytest.mark.parametrize("name", cases)
        def test_answers_are_judged_by_what_they_say(self, name: str) -> None:
            for reply in cases[name].get("replies", []):
                with _NoOutside():
                    first = destination.classify(response_of(reply), reply["n"])
                    second = destination.classify(response_of(reply), reply["n"])
                assert first == second, "the same answer was judged in two ways"

        @pytest.mark.parametrize("name", cases)
        def test_no_raw_identity_and_no_secret_leaves(self, name: str) -> None:
            case = cases[name]
            secrets = {
                value
                for key, value in case.get("config", {}).items()
                if destination.config_schema["properties"].get(key, {}).get("writeOnly") and isinstance(value, str)
            }
            for request in run(destination, case).requests:
                said = [request.url, *_strings(request.json), *_strings(request.params), *_strings(request.headers)]
                for text in said:
                    assert text.strip().lower() not in _raw_identities(case["events"])
                    assert "@" not in text or not re.search(r"[\w.+-]+@[\w-]+\.\w+", text), "an e-mail address leaves"
                    assert not any(secret in text for secret in secrets), "the core adds secrets, not the plugin"

        @pytest.mark.parametrize("name", cases)
        def test_event_id_or_order_travels(self, name: str) -> None:
            case = cases[name]
            config = public_config(destination, case.get("config", {}))
            for event in views(destination, case):
                item = destination.map_event(event, config)
                if not isinstance(item, Skip):
                    ids = {
                        event.event_id,
                        str(event.custom_data.get("order_id")),
                        str(event.original_event.get("order_id")),
                    }
                    carried = list(_strings(item))
                    assert any(one in text for one in ids for text in carried), "no dedup id in the item"

        @pytest.mark.parametrize("name", cases)
        def test_replies(self, name: str) -> None:
            for reply in cases[name].get("replies", []):
                verdict = destination.classify(response_of(reply), reply["n"])
                assert kinds(verdict) == reply["verdicts"], reply
                if "code" in reply:
                    assert isinstance(verdict, Verdict)
                    assert verdict.code == reply["code"]

        def test_classify_is_total(self) -> None:
            bodies = [*ODD_BODIES]
            for reply in (reply for case in cases.values() for reply in case.get("replies", [])):
                bodies.append(response_of(reply).body)
            for code in ODD_CODES:
                bodies.append(json.dumps({"code": code, "error": {"code": code}, "status": code}).encode())
            for status in STATUSES:
                for body in bodies:
                    for n in (1, 2, 1000):
                        _check_verdict(destination, destination.classify(Response(status, {}, body), n), n, status)
            # known answers with anything in any place, and bytes of no form at all
            known = [response_of(reply) for case in cases.values() for reply in case.get("replies", [])]
            for answer in gone_wrong(known, random.Random(1)):  # noqa: S311  # the same each time
                for n in (1, 3):
                    verdict = destination.classify(answer, n)
                    _check_verdict(destination, verdict, n, answer.status)
                    for one in [verdict] if isinstance(verdict, Verdict) else verdict:
                        assert isinstance(one.code, str), "a code is a text"
                        assert len(one.message) <= MESSAGE_CHARACTERS, "use verdicts.shorten for a platform's words"

        def test_follow_up_is_total(self) -> None:
            if destination.follow_up is None:
                return
            for status in STATUSES:
                for body in ODD_BODIES:
                    assert isinstance(destination.follow_up.classify(Response(status, {}, body)), Verdict)

        def test_is_registered_by_its_module(self) -> None:
            # The module's names by way of its function: a dropped-in file need not be in sys.modules.
            names = getattr(destination.map_event, "__globals__", {})
            if (registered := names.get("register_destinations")) is not None:
                assert hasattr(registered, f"{PROJECT}_impl"), "mark register_destinations with @hookimpl"
                assert destination in registered()

    Contract.__name__ = Contract.__qualname__ = f"Test{destination.name.title()}"
    return Contract


def gone_wrong(known: Sequence[Response], rng: random.Random) -> Iterator[Response]:
    """Answers as a platform on a bad day, or somebody in its place, might give them."""
    known = [*known, *(Response(200, {}, body) for body in ODD_BODIES)]
    for answer in known:
        for _ in range(40):
            status = rng.choice((answer.status, *STATUSES))
            headers = {
                "retry-after": rng.choice(("1", "-1", "nan", "Thu, 32 Foo", "9" * 400)),
                "content-type": "text/html",
            }
            body = (
                json.dumps(_spoilt(answer.json, rng)).encode()
                if rng.random() < 0.8
                else rng.randbytes(rng.randrange(60))
            )
            cut = rng.randrange(len(body) + 1) if rng.random() < 0.1 else len(body)
            yield Response(status, headers, body[:cut])


def _spoilt(value: Any, rng: random.Random) -> Any:
    """The value with something else in some of its places."""
    if rng.random() < 0.15:
        return rng.choice(
            (None, True, -1, 0, 10**40, 1e308, "", "0", "x" * 100_000, "\ud800", [], {}, [[]], [None] * 5, {"": {}})
        )
    if isinstance(value, dict):
        return {key: _spoilt(one, rng) for key, one in value.items() if rng.random() < 0.95}
    if isinstance(value, list):
        return [_spoilt(one, rng) for one in value for _ in range(rng.choice((0, 1, 1, 1, 2)))]
    return value


def _check_verdict(destination: Destination, verdict: Any, n: int, status: int) -> None:
    if isinstance(verdict, Verdict):
        assert verdict.kind is not Kind.REJECT or n == 1, "a whole batch is never rejected: split it"
        assert verdict.kind is not Kind.SPLIT or n > 1, "a single event cannot be split"
        assert verdict.kind is not Kind.RECEIVED or destination.follow_up is not None
        assert verdict.kind is not Kind.DELIVERED or 200 <= status < 300
    else:
        assert len(verdict) == n, "one verdict for each event"
        assert all(isinstance(one, Verdict) and one.kind is not Kind.SPLIT for one in verdict)
