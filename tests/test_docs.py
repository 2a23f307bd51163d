"""The documentation says what there is, and what it tells people to type works."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import typer

from gateway import config, registry
from gateway.cli.main import app
from gateway.config.settings import _AT_START
from gateway.demo.server import MockServer
from gateway.log import KEYS
from gateway.model.delivery import Kind, State
from gateway.plugin import hookspecs
from gateway.privacy.clickids import COOKIES, GOOGLE_COOKIES
from gateway.schema import faults, load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "plugins/README.md",
        ROOT / "schemas/README.md",
    )
)
#: Language of a code block → its text, in the order of a page.
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```.*?^```$|``.+?``|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return [body for found, body in _BLOCK.findall(text) if found == language]


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its depth or less."""
    depth = heading.partition(" ")[0]
    below = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"\n#{{1,{len(depth)}}} ", below, maxsplit=1)[0]


def first_cells(text: str) -> set[str]:
    """What stands as code in the first column of the tables."""
    rows = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    return {code for cell in rows for code in re.findall(r"`([^`]+)`", cell)}


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


# What there is, is told.


def hooks() -> list[str]:
    functions = [one for one in vars(hookspecs).values() if hasattr(one, f"{hookspecs.PROJECT}_spec")]
    return [f"{one.__name__}({', '.join(inspect.signature(one).parameters)})" for one in functions]


def test_there_are_hooks_to_look_for() -> None:
    assert "register_destinations()" in hooks()


@pytest.mark.parametrize("hook", hooks())
def test_the_guide_names_every_hook_with_its_arguments(hook: str) -> None:
    assert f"`{hook}`" in page("plugins/README.md")


def test_every_configuration_key_is_on_its_page() -> None:
    schema = load_schema(config.CONFIG_SCHEMA)
    keys = {key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", {})}
    text = page("docs/configuration.md")
    assert {key for key in keys if f"`{key}`" not in text and f"[{key}" not in text} == set()


def commands() -> set[str]:
    """`serve`, `dead list` … as the command line has them."""
    found: set[str] = set()
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        found |= {f"{name} {one}" for one in below} if below else {name}
    return found


def test_every_command_has_a_section() -> None:
    assert set(re.findall(r"^## `gateway ([^`]+)`$", page("docs/cli.md"), re.MULTILINE)) == commands()


def test_every_state_and_verdict_is_told_to_operators() -> None:
    cells = first_cells(section(page("docs/operating.md"), "## What became of it"))
    assert cells == {*map(str, State), *map(str, Kind)}


def test_every_log_key_is_told_and_no_other() -> None:
    table = section(page("docs/operating.md"), "## Logs").split("| event | level |")[0]
    assert first_cells(table) == KEYS


def logged() -> set[str]:
    """The name of every line that the code writes to the log."""
    found: set[str] = set()
    for path in (ROOT / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                function = node.func.body if isinstance(node.func, ast.IfExp) else node.func
                if isinstance(function, ast.Attribute) and function.attr in (
                    "debug", "info", "warning", "error", "critical",
                ):  # fmt: skip
                    found.add(str(node.args[0].value))
    return found


def test_every_line_of_the_log_is_told_and_no_other() -> None:
    table = section(page("docs/operating.md"), "## Logs").split("| event | level |")[1]
    assert first_cells(table) == logged()


def test_operators_are_told_what_a_reload_leaves() -> None:
    text = section(page("docs/operating.md"), "## Signals")
    assert {key for key in _AT_START if f"`{key}`" not in text} == set()


def test_every_bundled_destination_is_told() -> None:
    names = set(registry.load().destinations)
    assert set(re.findall(r"^## `(\w+)`$", page("docs/destinations.md"), re.MULTILINE)) == names
    going_live = page("docs/going-live.md").lower()
    assert {name for name in names - {"webhook"} if f"\n### {name}\n" not in going_live} == set()
    assert {name for name in names if name not in page("README.md").lower()} == set()


def test_cookies_that_servers_are_told_to_pass_on_are_those_that_pages_bring() -> None:
    told = set(re.findall(r"cookie `(\w+)`", page("docs/going-live.md")))
    assert told <= {*COOKIES, *GOOGLE_COOKIES, "_fbp", "_fbc"}
    user_data = load_schema("event.v1.schema.json")["$defs"]["user_data"]["properties"]
    table = section(page("docs/going-live.md"), "## What the browser knows and your server must send")
    keys = {
        key for row in re.findall(r"^\|[^|]+\|([^|]+)\|", table, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)
    }
    assert keys - {"user_data"} <= set(user_data)


# What is told, there is.


def test_the_readme_shows_what_the_demo_prints() -> None:
    printed = {_without_numbers(line) for line in page("docs/demo-output.txt").splitlines()}
    shown = blocks(page("README.md"), "text")[0].splitlines()
    assert [line for line in shown if _without_numbers(line) not in printed] == []
    assert all(name in shown[2] for name in ("meta", "tiktok", "google", "pinterest", "snapchat"))


def _without_numbers(line: str) -> str:
    return re.sub(r"\d+", "#", line.rstrip())


def test_the_readme_is_no_longer_than_it_should_be() -> None:
    assert len(page("README.md").splitlines()) <= 200


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_commands_that_are_told_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    missing = section(text, "## What is not built yet") if path.name == "README.md" and path.parent == ROOT else ""
    typed = "\n".join(blocks(text, "sh"))
    told = {*re.findall(r"`gateway ([a-z]+)", text), *re.findall(r"(?:^|[;&/] ?)gateway ([a-z]+)", typed, re.MULTILINE)}
    absent = set(re.findall(r"`(?:gateway )?([a-z]+)`", missing))
    assert told - {name.partition(" ")[0] for name in commands()} - absent == set()


def test_what_is_said_to_be_missing_is_missing() -> None:
    text = section(page("README.md"), "## What is not built yet")
    there = {name.partition(" ")[0] for name in commands()}
    assert set(re.findall(r"`(?:gateway )?([a-z]+)`", text)) & there == set()
    paths = set(re.findall(r"`(?:GET|POST|DELETE) (/[^`]+)`", text))
    assert paths
    assert {one for one in paths if f"`{one}`" in page("docs/api.md") or f" {one}`" in page("docs/api.md")} == set()
    assert "google_ads" not in registry.load().destinations


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    lines = re.findall(r"^#+ (.+)$", _BLOCK.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in _LINK.findall(_CODE.sub(lambda found: re.sub(r"[()]", " ", found[0]), path.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        there = (path.parent / target).resolve() if target else path
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_blocks_of_json_and_toml_can_be_read(path: Path) -> None:
    text = path.read_text("utf-8")
    for body in blocks(text, "json"):
        json.loads(body)
    for body in blocks(text, "toml"):
        tomllib.loads(body)


def posted() -> Iterator[tuple[str, Any]]:
    """Events that pages have people post with curl; those in other formats are their doors' tests to try."""
    for path in (one for one in PAGES if one.parent.name != "doors"):
        for call, body in re.findall(r"curl (.*?)-d '\s*(\{.*?\})'", path.read_text("utf-8"), re.DOTALL):
            if "/v1/users" not in call and "/v1/consent" not in call:  # about a person, not an event
                yield label(path), json.loads(body)


def test_events_that_pages_have_people_post_are_valid() -> None:
    found = list(posted())
    assert {"README.md", "docs/api.md", "docs/getting-started.md"} <= {name for name, _ in found}
    assert [(name, faults(event)) for name, event in found if faults(event)] == []
    assert all("consent" in event for _, event in found)


def repository() -> list[Path]:
    """Files under version control; where there is none, what a source archive holds."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        folders = ("gateway", "plugins", "schemas", "tests", "docs", "bench")
        paths = [*ROOT.glob("*.*"), *(path for folder in folders for path in (ROOT / folder).rglob("*.*"))]
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


#: What may not stand in a file: where packages come from on somebody's machine, and where somebody's files are.
_ELSEWHERE = re.compile(
    r"--(?:extra-)?index-url|--find-links|/(?:home|Users)/\w+/|(?<![\w.])/(?:work|root)/\w|file:///\w"
)


def test_nothing_points_to_one_machine_or_its_package_index() -> None:
    found = []
    for path in repository():
        if path == Path(__file__):
            continue
        text = path.read_text("utf-8", errors="replace")
        found += [f"{label(path)}: {match[0]}" for match in _ELSEWHERE.finditer(text)]
    assert found == []


# What people are told to type, works.


class Shell:
    """Runs lines of a page in a folder, with this Python's `gateway`."""

    def __init__(self, folder: Path, port: int, environ: dict[str, str]) -> None:
        self.folder, self.port = folder, port
        tools = folder / "bin"
        tools.mkdir()
        for name, arguments in (("gateway", "-m gateway "), ("python", "")):
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
            (tools / name).chmod(0o755)
        self.environ = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), **environ}
        self.environ.pop("GATEWAY_CONFIG", None)

    def script(self, lines: str) -> str:
        """Lines of a page, without what prepares a real machine."""
        kept = [line for line in lines.splitlines() if not line.startswith((". .venv", "export "))]
        return "\n".join(kept).replace("127.0.0.1:8080", f"127.0.0.1:{self.port}").replace(".venv/bin/", "")

    def run(self, lines: str) -> str:
        """Run them; what they print. Fails when they do."""
        done = subprocess.run(
            ["sh", "-e", "-c", self.script(lines)], cwd=self.folder, env=self.environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, lines: str) -> Iterator[None]:
        """Run them until the end of the block; the gateway that they start is ready inside it."""
        with subprocess.Popen(
            ["sh", "-c", f"exec {self.script(lines)}"], cwd=self.folder, env=self.environ, stderr=subprocess.DEVNULL
        ) as process:
            try:
                self._wait()
                yield
            finally:
                process.terminate()
                assert process.wait(30) == 0

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("the gateway did not start")


def switched_on(path: Path, mocks: MockServer, port: int) -> None:
    """What a reader does by hand to gateway.toml; the platform is its mock."""
    own = f'enabled = true\nbase_url = "{mocks.base_url("meta")}"\nallow_private = true'
    head, table = path.read_text("utf-8").split("[destinations.meta]\n")
    assert table.startswith("enabled = false")
    text = f"{head}[destinations.meta]\n{table.replace('enabled = false', own, 1)}"
    path.write_text(text.replace("# port = 8080", f"port = {port}"), encoding="utf-8")


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_ten_minutes_of_the_readme_work_as_they_are_told(tmp_path: Path) -> None:
    """Every block of the section in its order, against a mock; then the backup that operators are told to make."""
    told = section(page("README.md"), "## Ten minutes to a real set-up")
    prepare, check, serve, post, look = blocks(told, "sh")
    with MockServer() as mocks:
        table = mocks.config("meta")
        environ = {"META_PIXEL_ID": table["pixel_id"], "META_ACCESS_TOKEN": table["access_token"]}
        folder = tmp_path / "gateway"
        folder.mkdir()
        shell = Shell(folder, free_port(), {"HOME": str(tmp_path), **environ})
        assert {name for name in environ if f"export {name}=" not in check} == set()
        assert "Wrote gateway.toml" in shell.run(prepare)
        switched_on(folder / "gateway.toml", mocks, shell.port)
        assert "destinations meta" in " ".join(shell.run(check).split())
        with shell.running(serve):
            assert json.loads(shell.run(post)) == json.loads(blocks(told, "json")[0])
            wait_for(lambda: "meta: delivered" in shell.run(look))
            assert json.loads(shell.run(post))["duplicates"] == 1
            without = re.sub(r',\n +"consent".*}}', "}", post.replace('"event_id": "10042"', '"event_id": "10043"'))
            assert json.loads(shell.run(without))["results"][0]["destinations"]["meta"].startswith("skipped:")
            assert '"meta":"queued"' in shell.run(blocks(page("docs/getting-started.md"), "sh")[-1])
            wait_for(lambda: len(mocks.received["meta"]) == 2)
            backup = blocks(section(page("docs/operating.md"), "## Backup"), "sh")[0]
            shell.run(backup)
    assert [item["event_id"] for item in mocks.received["meta"]] == ["10042", "lead-77"]
    text = (folder / "gateway.toml").read_text("utf-8")
    (folder / "copy.toml").write_text(text.replace('# url = "sqlite:///gateway.db"', 'url = "sqlite:///backup.db"'))
    assert "meta: delivered" in shell.run(look.strip() + " --config copy.toml")


def wait_for(holds: Any) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
