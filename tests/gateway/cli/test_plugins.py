"""`gateway plugins`: what is there, a new one from the template, the contract on a file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from gateway import registry
from gateway.cli import contract


def test_list_describes_bundled_and_dropped_in_plugins(stage, answer):
    found = {one["name"]: one for one in answer("plugins", "list")["plugins"]}
    assert found.keys() >= {"acme", "meta", "tiktok", "google", "pinterest", "snapchat"}
    acme = found["acme"]
    assert acme["origin"].endswith("acme.py")
    assert (acme["api_version"], acme["interface"]) == ("v1", 1)
    keys = {key["key"]: (key["required"], key["secret"], key["type"]) for key in acme["config"]}
    assert keys == {"account": (True, False, "string"), "token": (True, True, "string")}


def test_list_needs_no_configuration(tmp_path, gateway, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = gateway("plugins", "list")
    assert code == 0
    assert "access_token" in out
    assert "required, secret" in out


def test_a_new_plugin_is_found_and_keeps_the_contract(tmp_path, gateway):
    code, out, _ = gateway("plugins", "new", "my_crm", "--dir", str(tmp_path), "--json")
    assert code == 0
    assert [path.removeprefix(str(tmp_path)) for path in json.loads(out)["files"]] == [
        "/my_crm.py",
        "/tests/test_my_crm.py",
        "/tests/golden/my_crm/purchase.json",
    ]
    assert "my_crm" in registry.load(tmp_path).destinations
    code, out, _ = gateway("plugins", "test", str(tmp_path / "my_crm.py"))
    assert code == 0
    assert "passed" in out


def test_the_contract_fails_for_a_plugin_that_breaks_it(tmp_path, gateway):
    gateway("plugins", "new", "my_crm", "--dir", str(tmp_path))
    path = tmp_path / "my_crm.py"
    path.write_text(path.read_text().replace('"order.value"', '"order.worth"'))
    shutil.move(tmp_path / "tests/golden/my_crm", tmp_path / "cases")
    assert gateway("plugins", "test", str(path))[0] == 2
    code, out, _ = gateway("plugins", "test", str(path), "--golden", str(tmp_path / "cases"))
    assert code == 1
    assert "test_golden" in out


@pytest.mark.parametrize("name", ["meta", "My", "1st", "a-b", "../x"])
def test_a_name_that_cannot_be_used_is_refused(tmp_path, gateway, name):
    code, _, err = gateway("plugins", "new", name, "--dir", str(tmp_path))
    assert code == 2
    assert repr(name) in err
    assert list(tmp_path.iterdir()) == []


def test_new_overwrites_nothing(tmp_path, gateway):
    (tmp_path / "my_crm.py").write_text("mine")
    assert gateway("plugins", "new", "my_crm", "--dir", str(tmp_path))[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["my_crm.py"]


def test_a_file_that_is_no_plugin_is_told(tmp_path, gateway):
    path = tmp_path / "x.py"
    assert gateway("plugins", "test", str(path))[0] == 2
    path.write_text("1 / 0")
    code, _, err = gateway("plugins", "test", str(path))
    assert code == 2
    assert "ZeroDivisionError" in err


def test_a_new_plugin_has_the_layout_of_the_guide(tmp_path, gateway, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, out, _ = gateway("plugins", "new", "my_crm")
    files = ["plugins/my_crm.py", "tests/test_my_crm.py", "tests/golden/my_crm/purchase.json"]
    assert [str(path) for path in map(tmp_path.joinpath, files) if not path.is_file()] == []
    assert out.splitlines()[-1] == "Next: gateway plugins test plugins/my_crm.py"
    assert gateway("plugins", "test", "plugins/my_crm.py")[0] == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_keys_stay_whole_on_a_narrow_terminal(tmp_path, gateway, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    lines = gateway("plugins", "list")[1].splitlines()
    assert "access_token  required, secret" in lines
    assert max(map(len, lines)) <= 80


def test_who_has_no_pytest_is_told_what_to_install(stage, gateway, monkeypatch):
    monkeypatch.setattr(contract.importlib.util, "find_spec", lambda name: None)
    code, _, err = gateway("plugins", "test", "plugins/acme.py")
    assert code == 2
    assert "pip install '.[test]', in the clone" in err
