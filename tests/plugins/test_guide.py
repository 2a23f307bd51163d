"""The guide is true: its code runs, its plugin passes the contract, and nothing of the interface is missing in it."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import inspect
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway import config, registry
from gateway.delivery.preview import request_for
from gateway.model.delivery import Attempt, Kind
from gateway.model.event import Event
from gateway.plugin import Batch, Destination, Field, FollowUp, Limits, Response, Retry, convert, hookspecs, verdicts
from gateway.plugin.auth import Auth
from gateway.plugin.testing import load, public_config, views

GUIDE = Path(__file__).parents[2] / "plugins" / "README.md"
TEXT = GUIDE.read_text("utf-8")
BLOCK = re.compile(
    r"(?:^<!-- (?P<role>\w+)(?:: (?P<name>\S+))? -->\n)?^```(?P<kind>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)
SECRETS = {"WEB_KEY": "made-up-web-key-0001", "ACME_TOKEN": "made-up-acme-token", "CRM_SECRET": "made-up-crm-secret"}


@dataclass(frozen=True)
class Block:
    """One block of code: what is to be done with it (`file`, `run` …), under which name."""

    role: str | None
    name: str | None
    kind: str
    code: str


BLOCKS = [Block(**match.groupdict()) for match in BLOCK.finditer(TEXT)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The author's folder, with all files of the guide in it and the commands run where they stand."""
    root = tmp_path_factory.mktemp("author")
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environ.pop("PYTEST_ADDOPTS", None)
    for block in BLOCKS:
        if block.role == "file" and block.name:
            file = root / block.name
            file.parent.mkdir(parents=True, exist_ok=True)
            before = file.read_text("utf-8") + "\n\n" if file.exists() else ""
            file.write_text(before + block.code, "utf-8")
        elif block.kind == "console":
            _run(block.code, root, environ)
    return root


def _run(code: str, root: Path, environ: dict[str, str]) -> None:
    said = ""
    for line in code.splitlines():
        if line.startswith("$ "):
            done = subprocess.run(
                line[2:], shell=True, cwd=root, env=environ, capture_output=True, text=True, timeout=120
            )
            said = done.stdout + done.stderr
            # The first run of a case shows what it would become and fails nowhere: that is what the option is for.
            assert done.returncode == 0, said
        else:
            assert line in said


@pytest.fixture(scope="module")
def acme(folder: Path) -> Any:
    return load(folder / "plugins" / "acme.py")


def test_every_block_of_code_has_a_use() -> None:
    unused = [block.code[:60] for block in BLOCKS if block.role is None and block.kind != "console"]
    assert unused == []
    assert len(BLOCKS) == TEXT.count("\n```") // 2, "a block that the test does not see"


def test_its_commands_pass_and_more_than_a_few_tests_ran(folder: Path) -> None:
    assert {block.kind for block in BLOCKS} >= {"console", "python", "json", "toml"}
    cases = [json.loads(file.read_text("utf-8")) for file in sorted((folder / "tests/golden/acme").glob("*.json"))]
    assert [case["expect"].get("skipped") for case in cases] == [
        [{"index": 0, "reason": "missing_field", "field": "digests.email"}],
        None,
    ]


def test_the_request_it_shows_is_the_one_that_the_plugin_makes(folder: Path) -> None:
    (shown,) = [block for block in BLOCKS if block.role == "expect"]
    case = json.loads((folder / str(shown.name)).read_text("utf-8"))
    assert [json.loads(shown.code)] == case["expect"]["requests"]


def test_its_folder_is_the_one_it_lists(folder: Path) -> None:
    listed = re.search(r"The result is a folder:\n\n((?:    .+\n)+)", TEXT)
    assert listed is not None
    assert [name for name in listed[1].split() if not (folder / name).is_file()] == []


def test_its_configuration_loads_the_plugin_from_its_folder(folder: Path) -> None:
    settings = config.load(folder / "gateway.toml", SECRETS, lambda plugins: registry.load(plugins).destinations)
    acme = settings.destinations["acme"]
    assert acme.config == {"account": "12345"}
    assert acme.secrets["token"] == "made-up-acme-token"
    case = json.loads((folder / "tests/golden/acme/purchase.json").read_text("utf-8"))
    shown = request_for(acme, views(acme.destination, case)[0])["request"]
    assert shown["url"] == "https://api.acme.example/v3/12345/events"
    assert shown["headers"]["Authorization"] == "Bearer ***"


def test_it_can_be_published_as_it_says(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    points = project["project"]["entry-points"]["gateway.plugins"]
    name, version = project["project"]["name"], project["project"]["version"]
    for module in points.values():
        assert f"{module}.py" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]
        (tmp_path / f"{module}.py").write_text((folder / "plugins/acme.py").read_text("utf-8"), "utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
    info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{key} = {module}" for key, module in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[gateway.plugins]", *lines, ""]))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.load().origins["acme"] == f"package {name} (entry point acme)"


@pytest.fixture(scope="module")
def further(acme: Any) -> dict[str, Any]:
    """What the blocks for less simple platforms define, beside the plugin."""
    names = dict(vars(acme))
    for block in BLOCKS:
        if block.role == "run":
            exec(block.code, names)
    return names


def test_requests_of_a_group(further: dict[str, Any]) -> None:
    full: Destination = further["ACME_IN_FULL"]
    event = Event(event_name="Lead", event_id="1", event_time=1, action_source="app", platform_name="Lead")
    assert full.group_key is not None
    assert full.group_key(event, {}) == "app"
    request = full.build_request(Batch.of([{"id": "1"}], group="app", test=True), {"account": "7"})
    assert request.json == {"source": "app", "test": True, "data": [{"id": "1"}]}


def test_an_answer_for_each(further: dict[str, Any]) -> None:
    full: Destination = further["ACME_IN_FULL"]
    found = full.classify(Response(207, {}, b'{"results": ["ok", "bad sku"]}'), 2)
    assert isinstance(found, list)
    assert [one.kind for one in found] == [Kind.DELIVERED, Kind.REJECT]
    assert full.classify(Response(503, {}, b'{"results": ["ok"]}'), 2) == verdicts.retry(
        "http_503", '{"results": ["ok"]}'
    )


@pytest.mark.parametrize(
    ("body", "kind"), [('{"state":"done"}', "delivered"), ('{"state":"failed"}', "reject"), ("", "received")]
)
def test_an_outcome_that_is_reported_later(further: dict[str, Any], body: str, kind: str) -> None:
    assert further["FOLLOW_UP"].classify(Response(200, {}, body.encode())).kind == kind
    assert further["FOLLOW_UP"].build_request("r-1", {"account": "7"}).url.endswith("/v3/7/requests/r-1")


def test_a_limited_event_says_so(further: dict[str, Any]) -> None:
    event = Event(event_name="Lead", event_id="1", event_time=1, digests={"email": ("aa",)}, platform_name="Lead")
    for limited in (True, False):
        item = further["map_event_limited"](dataclasses.replace(event, limited=limited), {})
        assert item.get("limited", False) is limited
    assert further["accepts_test"]({"test_code": "T1"})
    assert not further["accepts_test"]({})


def test_its_webhook_table_is_a_configuration(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if block.role == "config"]
    for code in (block.code, block.code.replace("# ", "")):
        (tmp_path / "gateway.toml").write_text(code, "utf-8")
        settings = config.load(tmp_path / "gateway.toml", SECRETS, lambda plugins: registry.load(plugins).destinations)
        assert settings.destinations["crm"].destination.name == "webhook"
    assert settings.destinations["crm"].batch_size == 10


def test_its_receiver_knows_a_genuine_request(folder: Path) -> None:
    is_genuine = load(folder / "receiver.py").is_genuine
    body, now = b'{"version": 1, "events": []}', int(time.time())

    def header(at: int, secret: str = "made-up-crm-secret") -> str:
        signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={at},v1={signature}"

    assert is_genuine(header(now), body, "made-up-crm-secret")
    assert not is_genuine(header(now), body + b" ", "made-up-crm-secret")
    assert not is_genuine(header(now, "another secret"), body, "made-up-crm-secret")
    assert not is_genuine(header(now - 301), body, "made-up-crm-secret")
    for odd in ("", "t=,v1=", "t=x,v1=ü", "v1", f"t={now}", "t=²,v1=a"):
        assert not is_genuine(odd, body, "made-up-crm-secret")


@pytest.mark.parametrize("made", [Destination, Limits, Retry, FollowUp, Field, Event, Attempt])
def test_every_field_is_told(made: Any) -> None:
    names = [field.name for field in dataclasses.fields(made) if not field.name.startswith("_")]
    missing = [name for name in names if not re.search(rf"[`(, ]{name}[`(,)=]", TEXT)]
    assert missing == []


def test_every_kind_of_credential_is_told_with_its_arguments() -> None:
    for auth in get_args(Auth):
        arguments = ", ".join(field.name for field in dataclasses.fields(auth))
        assert f"`{auth.__name__}({arguments})`" in TEXT


def test_every_verdict_and_every_converter_is_told() -> None:
    for kind in Kind:
        assert f"`verdicts.{kind}(" in TEXT
    functions = {name: thing for name, thing in vars(convert).items() if inspect.isfunction(thing)}
    own = [name for name, function in functions.items() if function.__module__ == convert.__name__ and name[0] != "_"]
    assert len(own) > 5
    assert [name for name in own if not re.search(rf"`{name}[`(]", TEXT)] == []


def test_every_hook_is_told_with_its_arguments() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, f"{hookspecs.PROJECT}_spec")}
    assert set(hooks) == {"register_destinations", "delivery_attempted"}
    for name, hook in hooks.items():
        assert f"`{name}({', '.join(inspect.signature(hook).parameters)})`" in TEXT


def test_its_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if not link.startswith("http")]
    assert len(links) > 8
    for link in links:
        path, _, anchor = link.partition("#")
        page = (GUIDE.parent / path) if path else GUIDE
        assert page.exists(), link
        heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M) if page.suffix == ".md" else []
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, link


#: The interface as it was promised to authors: this file is to work as it stands.
PROMISED = '''\
"""Acme conversions. Verified against v3, 2026-05.  Docs: https://developers.acme.example/capi"""
from gateway.plugin import Bearer, Destination, Field, Limits, Request, Retry, apply, hookimpl, verdicts

CONFIG = {"type": "object", "required": ["account", "token"], "properties": {
    "account": {"type": "string", "description": "Ad account number, digits only."},
    "token": {"type": "string", "writeOnly": True, "description": "Conversion token."}}}
NAMES = {"Purchase": "Checkout", "Lead": "Lead"}              # …/capi#names
FIELDS = (                                                    # …/capi#fields
    Field("id", "event_id", required=True),                   # with "name": Acme's dedup key, 48 h
    Field("time", "event_time", required=True),
    Field("user.em", "digests.email", many=True),             # made at the door, by the rule named here
    Field("order.total", "custom_data.value", as_=str))
CODES = {1007: verdicts.pause, 2001: verdicts.reject}         # …/capi#errors

def map_event(event, config):
    """One event → one Acme item (JSON-ready dict); Skip when a field that Acme requires is missing."""
    return apply(FIELDS, event, name=NAMES[event.event_name])

def build_request(items, config):
    return Request("POST", f"https://api.acme.example/v3/{config['account']}/events", json={"data": list(items)})

def classify(response, n):
    return verdicts.by_code(CODES, response, "error.code", n) or verdicts.by_status(response, n)   # n > 1: reject → split

ACME = Destination(name="acme", api_version="v3", docs="https://developers.acme.example/capi", config_schema=CONFIG,
    names=NAMES, purposes={"ad_user_data"}, digests={"email": "email_plain"}, auth=Bearer("token"),
    limits=Limits(batch=500, max_age_s=7 * 86400), retry=Retry(first_s=5, factor=4, give_up_s=3 * 86400),
    map_event=map_event, build_request=build_request, classify=classify)

@hookimpl
def register_destinations():
    return [ACME]
'''  # noqa: E501
PROMISED_CASES: dict[str, dict[str, Any]] = {
    "purchase": {
        "about": "A purchase with all that Acme takes.",
        "source": "https://developers.acme.example/capi",
        "config": {"account": "12345", "token": "made-up-token"},
        "events": [
            {
                "event_name": "Purchase",
                "event_id": "order-1",
                "event_time": 1795000000,
                "user_data": {"email": "jane.doe@example.com"},
                "custom_data": {"value": 59.5, "currency": "EUR"},
            }
        ],
        "expect": {
            "requests": [
                {
                    "method": "POST",
                    "url": "https://api.acme.example/v3/12345/events",
                    "json": {
                        "data": [
                            {
                                "name": "Checkout",
                                "id": "order-1",
                                "time": 1795000000,
                                "user": {"em": ["86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d"]},
                                "order": {"total": "59.5"},
                            }
                        ]
                    },
                }
            ]
        },
    },
    "answers": {
        "about": "Codes that Acme documents, and answers that it does not.",
        "source": "https://developers.acme.example/capi#errors",
        "config": {"account": "12345", "token": "made-up-token"},
        "events": [{"event_name": "Lead", "event_id": "lead-1", "event_time": 1795000000}],
        "expect": {
            "requests": [
                {
                    "method": "POST",
                    "url": "https://api.acme.example/v3/12345/events",
                    "json": {"data": [{"name": "Lead", "id": "lead-1", "time": 1795000000}]},
                }
            ]
        },
        "replies": [
            {"n": 3, "status": 200, "body": {"taken": 3}, "verdicts": "delivered"},
            {"n": 3, "status": 200, "body": {"error": {"code": 1007}}, "verdicts": "pause", "code": "1007"},
            {"n": 3, "status": 400, "body": {"error": {"code": 2001}}, "verdicts": "split"},
            {"n": 1, "status": 400, "body": {"error": {"code": 2001}}, "verdicts": "reject"},
            {"n": 3, "status": 502, "body": "<html>", "verdicts": "retry"},
        ],
    },
}


def test_the_promised_example_works_as_it_stands(tmp_path: Path) -> None:
    plugins, golden = tmp_path / "plugins", tmp_path / "golden"
    plugins.mkdir()
    golden.mkdir()
    (plugins / "acme.py").write_text(PROMISED, "utf-8")
    for name, case in PROMISED_CASES.items():
        (golden / f"{name}.json").write_text(json.dumps(case), "utf-8")
    (tmp_path / "test_acme.py").write_text(
        "from pathlib import Path\n"
        "from gateway.plugin.testing import destination_contract, load\n"
        "here = Path(__file__).parent\n"
        "TestAcme = destination_contract(load(here / 'plugins/acme.py').ACME, golden=here / 'golden')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_acme.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    destination = registry.load(plugins).destinations["acme"]
    assert public_config(destination, PROMISED_CASES["purchase"]["config"]) == {"account": "12345"}
