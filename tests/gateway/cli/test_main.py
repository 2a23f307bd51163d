"""The command line as a whole: what there is, what errors become, that `--help` is light, that the page is true."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer

from gateway.cli import main, options, reference, show
from gateway.ingest.formats.files.columns import UNCLEAR
from gateway.ingest.formats.files.mapping import SCHEMA
from gateway.model.errors import ConfigError, OutboxError, OutboxFailed, PluginLoadError
from gateway.schema import load_schema

BUILT = [
    *"demo init check serve dispatch health preview explain events prove replay import erase backup restore".split(),
    *("dead list", "dead show", "dead retry", "dead discard"),
    "consent report",
    *("ledger verify", "ledger export"),
    *("plugins list", "plugins new", "plugins test"),
]
NOT_BUILT = ["reconcile"]


def all_commands():
    return dict(reference.commands(typer.main.get_command(main.app)))


def test_all_of_it_is_there():
    assert sorted(all_commands()) == sorted(BUILT)


def test_every_command_takes_a_configuration():
    for name, command in all_commands().items():
        assert any("--config" in option.opts for option in command.params), name


@pytest.mark.parametrize("name", NOT_BUILT)
def test_what_is_not_there_is_answered_with_what_is(gateway, name):
    code, out, err = gateway(name)
    assert (code, out) == (2, "")
    assert f"no command '{name}'" in err
    assert "explain" in err


def test_the_page_is_made_from_the_commands():
    assert reference.PAGE.read_text("utf-8") == reference.page()


def test_the_tables_of_columns_are_made_from_the_code():
    text = reference.FILES.read_text("utf-8")
    assert text == reference.with_columns(text)


def test_every_key_of_a_mapping_and_every_unclear_column_is_told():
    text = reference.FILES.read_text("utf-8")
    told = {f"`{one}`" for one in (*load_schema(SCHEMA)["properties"], *UNCLEAR)}
    assert {one for one in told if one not in text} == set()


def test_every_command_that_reports_has_its_shape_on_the_page():
    reporting = {name for name, one in all_commands().items() if any("--json" in option.opts for option in one.params)}
    assert reporting == reference.SHAPES.keys()


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("check", ()), ("events", ()), ("explain", ("a",)), ("dead list", ()), ("plugins list", ())],
)
def test_the_documented_keys_are_the_printed_ones(stage, answer, refused, command, arguments):
    """Every key that a command prints stands in its shape; names of destinations and signals are not keys."""
    stage.run(stage.event("a"), left=refused)
    free = {"left", "right", "ad_storage", "ad_user_data", "ad_personalization", "region"}

    def keys(value):
        if isinstance(value, dict):
            return set(value) | {key for entry in value.values() for key in keys(entry)}
        return {key for entry in value for key in keys(entry)} if isinstance(value, list) else set()

    for key in keys(answer(*command.split(), *arguments)) - free:
        assert f'"{key}"' in reference.SHAPES[command], key


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (PluginLoadError("x"), 2),
        (OutboxError("x"), 1),
        (OutboxFailed("x"), 74),
        (OSError(5, "x"), 1),
    ],
)
def test_errors_are_one_line_and_a_code(gateway, monkeypatch, error, code):
    def fail(path):
        raise error

    monkeypatch.setattr("gateway.cli.opening.load", fail)
    got, out, err = gateway("check")
    assert (got, out, err) == (code, "", "gateway: x\n")


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from gateway.cli.main import call; call(['--help']);"
        "print([m for m in ('httpx', 'anyio', 'rich', 'starlette', 'jsonschema', 'sqlite_utils') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("gateway ")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 2_000_000_000 - 7200), ("2001-09-09", 999_993_600), ("2001-09-09T03:46:40+02:00", 1_000_000_000)],
)
def test_times_are_read(text, seconds):
    assert options.time_of(text, 2_000_000_000) == seconds


def test_times_are_shown_in_utc_with_their_distance():
    assert show.when(1_000_000_000, 1_000_000_180) == "2001-09-09 01:46:40Z (3 min ago)"
    assert show.when(1_000_000_000, 1_000_000_000 - 7200) == "2001-09-09 01:46:40Z (in 2 h)"
    assert show.when(None, 0) == "–"


def test_no_colours_where_no_terminal_is(stage, gateway):
    stage.run(stage.event("a"))
    for command in (("events",), ("explain", "a"), ("check",)):
        assert "\x1b" not in gateway(*command)[1]


def test_serve_and_dispatch_hand_over(stage, gateway, monkeypatch):
    called = []
    monkeypatch.setattr("gateway.web.server.serve", lambda path, *, dispatch: called.append((path.name, dispatch)) or 0)
    monkeypatch.setattr("gateway.web.server.dispatch", lambda path: called.append(path.name) or 74)
    assert gateway("serve")[0] == 0
    assert gateway("serve", "--no-dispatch")[0] == 0
    assert gateway("dispatch")[0] == 74
    assert called == [("gateway.toml", True), ("gateway.toml", False), "gateway.toml"]


def test_demo_hands_over(gateway, monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr("gateway.demo.run.main", lambda json, keep: called.append((json, keep)) or 1)
    assert gateway("demo", "--json", "--keep", str(tmp_path))[0] == 1
    assert called == [(True, tmp_path)]


def test_init_reports_json(gateway, tmp_path):
    _, out, _ = gateway("init", "--config", str(tmp_path / "g.toml"), "--json")
    assert json.loads(out) == {"path": str(tmp_path / "g.toml")}
