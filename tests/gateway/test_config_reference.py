"""The configuration's schema, its page and the two starting files agree."""

import importlib.util
import json
import re
import tomllib

import pytest
from jsonschema import Draft202012Validator

from gateway import config, starter
from gateway.config import reference
from gateway.config.defaults import filled
from gateway.schema import load_schema

SCHEMA = load_schema(config.CONFIG_SCHEMA)
ROOT = reference.PAGE.parent.parent


def described(node, path=""):
    """Every key below a table of the schema, with its path and node."""
    for key, part in node.get("properties", {}).items():
        name = str(part.get("$ref", "")).removeprefix("#/$defs/")
        part = {**SCHEMA["$defs"].get(name, {}), **part}
        yield f"{path}{key}", part
        yield from described(part, f"{path}{key}.")
        others = part.get("additionalProperties")
        if isinstance(others, dict) and "$ref" in others:
            yield from described(SCHEMA["$defs"][others["$ref"].rpartition("/")[2]], f"{path}{key}.*.")


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("path", "node"), list(described(SCHEMA)), ids=lambda value: value if type(value) is str else ""
)
def test_every_key_has_a_type_and_a_description_and_is_on_the_page(path, node):
    assert node["type"]
    assert node["description"].endswith(".")
    key = path.rpartition(".")[2]
    page = reference.PAGE.read_text(encoding="utf-8")
    assert f"| `{key}` |" in page or f"## `[{key}" in page


def test_the_page_is_what_the_schema_says():
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run python -m gateway.config.reference"


def test_every_default_fits_its_own_type():
    for path, node in described(SCHEMA):
        if "default" in node:
            schema = {**node, "$defs": SCHEMA["$defs"]}
            assert not list(Draft202012Validator(schema).iter_errors(node["default"])), path


def test_the_settings_classes_have_the_defaults_of_the_schema(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text("")
    found = config.load(file, {}, lambda folder: {})
    assert found.server == config.Server()
    assert found.privacy == config.Privacy()
    assert found.consent == config.ConsentSettings()
    assert found.outbox == config.OutboxSettings(url="sqlite:///gateway.db", path=tmp_path / "gateway.db")
    assert found.sources == {}
    assert found.destinations == {}


def test_filled_leaves_the_schema_and_the_table_alone():
    before, table = json.dumps(SCHEMA), {"server": {"port": 1}}
    result = filled(table, SCHEMA)
    result["server"]["trusted_proxies"].append("x")
    assert json.dumps(SCHEMA) == before
    assert table == {"server": {"port": 1}}
    assert result["server"]["port"] == 1
    assert result["server"]["host"] == "127.0.0.1"


def test_the_file_in_the_repository_is_the_starter_with_the_examples_keys():
    assert (ROOT / "gateway.toml").read_text(encoding="utf-8") == starter.example()


def test_the_file_in_the_repository_runs_as_it_is():
    found = config.load(ROOT / "gateway.toml", {}, lambda folder: bundled())
    assert set(found.sources) == {"web"}
    assert set(found.destinations) == {"meta", "tiktok", "google", "pinterest", "snapchat"}
    assert found.enabled == {}


def test_every_key_in_a_comment_of_the_starter_is_known():
    """The commented lines, switched on, are refused for nothing but their values."""
    text = re.sub(r"(?m)^# (?=[a-z_]+ = |\[)", "", starter.example())
    schema = {"server": "server", "outbox": "outbox", "privacy": "privacy", "consent": "consent"}
    data = tomllib.loads(text)
    for table, name in schema.items():
        assert data[table].keys() <= SCHEMA["$defs"][name]["properties"].keys()
        assert len(data[table]) >= 2
    assert data["sources"]["web"].keys() <= SCHEMA["$defs"]["source"]["properties"].keys()
    for name, table in data["destinations"].items():
        own = bundled()[table["plugin"]].config_schema["properties"]
        assert table.keys() <= SCHEMA["$defs"]["destination"]["properties"].keys() | own.keys(), name


def test_a_fresh_starter_has_keys_of_its_own(tmp_path):
    one, two = starter.fresh(), starter.fresh()
    assert one != two
    file = tmp_path / "gateway.toml"
    file.write_text(one.replace("[server]", '[server]\nhost = "0.0.0.0"'))
    found = config.load(file, {}, lambda folder: bundled())
    (key,) = found.sources["web"].write_keys
    assert len(key) >= 32
    assert key not in config.EXAMPLE_KEYS


def test_every_destination_of_the_starter_can_be_switched_on(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(starter.example().replace("enabled = false", "enabled = true"))
    (tmp_path / "google-refresh-token").write_text("1//made-up\n")
    environ = {
        "META_PIXEL_ID": "1234567890",
        "TIKTOK_PIXEL_CODE": "C4ABCDEFGHIJKLMNOPQR",
        "GOOGLE_ADS_CUSTOMER_ID": "123-456-7890",
        "GOOGLE_CLIENT_ID": "made-up.apps.example.com",
        "GOOGLE_CLIENT_SECRET": "made-up-secret",
        "PINTEREST_AD_ACCOUNT_ID": "549755885175",
        "SNAPCHAT_PIXEL_ID": "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
    } | {f"{name}_ACCESS_TOKEN": "made-up-token" for name in ("META", "TIKTOK", "PINTEREST", "SNAPCHAT")}
    found = config.load(file, environ, lambda folder: bundled())
    assert len(found.enabled) == 5
    assert all(instance.secrets and instance.names for instance in found.enabled.values())
    assert found.destinations["google"].secrets["refresh_token"] == "1//made-up"


def bundled():
    """The destinations in plugins/ that the starter configures, by name."""
    found = {}
    for name in ("meta", "tiktok", "google", "pinterest", "snapchat"):
        spec = importlib.util.spec_from_file_location(f"starter_{name}", ROOT / "plugins" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= {destination.name: destination for destination in module.register_destinations()}
    return found
