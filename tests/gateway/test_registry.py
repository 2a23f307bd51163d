"""Plugins are found in three places, come through one door, and a faulty one stops the start by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gateway import registry
from gateway.model.errors import PluginLoadError
from gateway.plugin import INTERFACE_VERSION

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """\
from gateway.plugin import Destination, Request, hookimpl, verdicts

DESTINATION = Destination(
    name={name!r}, api_version="v1", docs="https://developers.example.com/", names={{"Purchase": "Buy"}},
    config_schema={{"type": "object", "properties": {{}}}}, interface={interface},
    map_event=lambda event, config: {{"id": event.event_id}},
    build_request=lambda batch, config: Request("POST", "https://api.example.com/", json=list(batch)),
    classify=verdicts.by_status)

@hookimpl
def {hook}():
    return [{returned}]
"""
BUNDLED = {path.stem for path in registry.bundled_folder().glob("[a-z]*.py")}


def plugin(
    name: str = "acme",
    *,
    hook: str = "register_destinations",
    interface: int = INTERFACE_VERSION,
    returned: str = "DESTINATION",
) -> str:
    return PLUGIN.format(name=name, hook=hook, interface=interface, returned=returned)


def put(folder: Path, text: str, name: str = "acme.py") -> Path:
    file = folder / name
    file.write_text(text, "utf-8")
    return file


def install(site: Path, package: str, module: str, text: str, *, points: str = "") -> None:
    """A distribution as pip leaves it behind: the module, and a dist-info folder that names the entry point."""
    put(site, text, f"{module}.py")
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gateway.plugins]\n{points or f'{module} = {module}'}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for name in ("acme_conversions", "other_conversions"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder


def test_the_bundled_ones_are_found() -> None:
    found = registry.load()
    assert {"meta", "tiktok", "google", "pinterest", "snapchat", "webhook"} <= BUNDLED
    assert set(found.destinations) == BUNDLED
    assert found.origins["webhook"] == "bundled webhook.py"
    assert all(name == destination.name for name, destination in found.destinations.items())


def test_a_file_in_the_folder_is_found_beside_them(tmp_path: Path) -> None:
    file = put(tmp_path, plugin())
    found = registry.load(tmp_path)
    assert set(found.destinations) == BUNDLED | {"acme"}
    assert found.origins["acme"] == str(file)
    assert dict(found.destinations["acme"].names_for({})) == {"Purchase": "Buy"}


def test_files_that_begin_with_an_underscore_and_other_files_are_left_alone(tmp_path: Path) -> None:
    put(tmp_path, "raise RuntimeError", "_draft.py")
    put(tmp_path, "# Notes", "README.md")
    assert set(registry.load(tmp_path).destinations) == BUNDLED


def test_an_installed_package_is_found_by_its_entry_point(site: Path) -> None:
    install(site, "gateway-plugin-acme", "acme_conversions", plugin())
    found = registry.load()
    assert set(found.destinations) == BUNDLED | {"acme"}
    assert found.origins["acme"] == "package gateway-plugin-acme (entry point acme_conversions)"


def test_one_package_may_have_several_entry_points(site: Path) -> None:
    put(site, plugin("other"), "other_conversions.py")
    points = "acme = acme_conversions\nother = other_conversions"
    install(site, "gateway-plugin-acme", "acme_conversions", plugin(), points=points)
    assert {"acme", "other"} < set(registry.load().destinations)


def test_a_plugin_may_only_observe(tmp_path: Path) -> None:
    text = (
        "from gateway.plugin import hookimpl\n\n@hookimpl\ndef delivery_attempted(attempt):\n    SEEN.append(attempt)\n"
    )
    put(tmp_path, f"{text}\nSEEN = []\n", "watch.py")
    found = registry.load(tmp_path)
    found.manager.hook.delivery_attempted(attempt="an attempt")
    assert [module.SEEN for module in found.manager.get_plugins() if hasattr(module, "SEEN")] == [["an attempt"]]


def test_a_file_may_define_dataclasses(tmp_path: Path) -> None:
    lines = [
        "from __future__ import annotations",
        "from dataclasses import dataclass",
        "@dataclass",
        "class Row:",
        "    name: str",
    ]
    put(tmp_path, "\n".join([*lines, plugin()]))
    assert "acme" in registry.load(tmp_path).destinations


def test_one_module_may_bring_several_destinations(tmp_path: Path) -> None:
    text = plugin(returned='DESTINATION, replace(DESTINATION, name="acme_offline")')
    put(tmp_path, "from dataclasses import replace\n" + text)
    assert {"acme", "acme_offline"} < set(registry.load(tmp_path).destinations)


def test_an_observer_sees_attempts(tmp_path: Path) -> None:
    put(tmp_path, plugin() + "\nSEEN = []\n\n@hookimpl\ndef delivery_attempted(attempt):\n    SEEN.append(attempt)\n")
    found = registry.load(tmp_path)
    found.manager.hook.delivery_attempted(attempt="an attempt")
    seen = [module.SEEN for module in found.manager.get_plugins() if hasattr(module, "SEEN")]
    assert seen == [["an attempt"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(plugin(hook="register_destination"), "register_destination", id="a misspelled hook"),
        pytest.param(plugin().replace("@hookimpl\n", ""), "not marked with @hookimpl", id="a hook without its mark"),
        pytest.param("X = 1\n", "no register_destinations", id="no hook at all"),
        pytest.param(plugin(returned="'acme'"), "gave a str, not a Destination", id="not a destination"),
        pytest.param(plugin(returned="1 / 0"), "raised ZeroDivisionError", id="a hook that raises"),
        pytest.param(plugin("Ac-me"), "no name for a destination", id="a name that is none"),
        pytest.param(
            plugin(interface=INTERFACE_VERSION + 1),
            f"version {INTERFACE_VERSION + 1} of the plugin",
            id="a newer interface",
        ),
        pytest.param("import no_such_module\n", "ModuleNotFoundError: No module named", id="an import that fails"),
        pytest.param("def broken(:\n", "SyntaxError", id="not Python"),
        pytest.param("raise SystemError('odd')\n", "SystemError: odd", id="a module that raises"),
        pytest.param(
            plugin().replace("name='acme'", "nmae='acme'"), "unexpected keyword argument 'nmae'", id="an unknown field"
        ),
    ],
)
def test_a_faulty_file_stops_the_start_and_is_named(text: str, words: str, tmp_path: Path) -> None:
    file = put(tmp_path, text)
    with pytest.raises(PluginLoadError) as caught:
        registry.load(tmp_path)
    assert str(file) in str(caught.value)
    assert words in str(caught.value)


def test_a_hook_with_another_argument_stops_the_start(tmp_path: Path) -> None:
    file = put(tmp_path, plugin() + "\n@hookimpl\ndef delivery_attempted(attempts):\n    pass\n")
    with pytest.raises(PluginLoadError, match="attempts") as caught:
        registry.load(tmp_path)
    assert str(file) in str(caught.value)


def test_two_of_one_name_stop_the_start_and_both_are_named(tmp_path: Path) -> None:
    one, two = put(tmp_path, plugin(), "one.py"), put(tmp_path, plugin(), "two.py")
    with pytest.raises(PluginLoadError, match="named 'acme'") as caught:
        registry.load(tmp_path)
    assert f"{one} and {two}" in str(caught.value)


def test_a_bundled_name_cannot_be_taken(tmp_path: Path) -> None:
    file = put(tmp_path, plugin("meta"), "mine.py")
    with pytest.raises(PluginLoadError) as caught:
        registry.load(tmp_path)
    assert f"'meta': bundled meta.py and {file}" in str(caught.value)


def test_a_faulty_package_is_named(site: Path) -> None:
    install(site, "gateway-plugin-acme", "acme_conversions", "import no_such_module\n")
    with pytest.raises(PluginLoadError, match=r"package gateway-plugin-acme \(.+\): cannot be imported"):
        registry.load()


def test_an_entry_point_to_nothing_is_named(site: Path) -> None:
    install(site, "gateway-plugin-acme", "acme_conversions", plugin(), points="acme = acme_conversions:missing")
    with pytest.raises(PluginLoadError, match="package gateway-plugin-acme"):
        registry.load()


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(PluginLoadError, match="plugins_dir"):
        registry.load(tmp_path / "missing")
