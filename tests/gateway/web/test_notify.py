"""What systemd hears of a service, and what happens to one whose loop hangs."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time

import anyio
import pytest

from gateway.web.notify import ALIVE, READY, STOPPING, Notifier

pytestmark = pytest.mark.anyio

SERVE = """
import sys
from pathlib import Path
from gateway.web.server import {what}
sys.exit({what}(Path(sys.argv[1])))
"""
CONFIG = """
[server]
port = {port}
workers = {workers}
[sources.web]
write_key = "write-key-of-the-shop"
"""


class Ear:
    """A socket as systemd holds one."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(20)
        self.path = path

    def next(self):
        return self.socket.recv(4096).decode()

    def until(self, word):
        """What is heard up to and with `word`."""
        heard = []
        while not heard or word not in heard[-1]:
            heard.append(self.next())
        return heard


@pytest.fixture
def ear(tmp_path):
    made = Ear(str(tmp_path / "notify"))
    yield made
    made.socket.close()


@pytest.fixture
def service(ear, tmp_path):
    """Starts a service in a process of its own."""
    running = []

    def start(what="serve", *, workers=1, watchdog_s=None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (tmp_path / "gateway.toml").write_text(CONFIG.format(port=port, workers=workers))
        environ = {"NOTIFY_SOCKET": ear.path, "PATH": "", "PYTHONPATH": ":".join(sys.path)}
        if watchdog_s is not None:
            environ["WATCHDOG_USEC"] = str(int(watchdog_s * 1e6))
        command = [sys.executable, "-c", SERVE.format(what=what), str(tmp_path / "gateway.toml")]
        running.append(subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("what", "workers"), [("serve", 1), ("serve", 2), ("dispatch", 1)])
def test_a_service_tells_of_its_start_reload_and_end(service, ear, what, workers):
    process = service(what, workers=workers)
    assert ear.next() == READY
    process.send_signal(signal.SIGHUP)
    assert ear.next().startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert ear.next() == READY
    process.send_signal(signal.SIGTERM)
    assert ear.next() == STOPPING
    assert process.wait(20) == 0


def test_it_says_that_it_is_alive_when_systemd_watches(service, ear):
    process = service(watchdog_s=1.0)
    ear.until(READY)
    begun = time.monotonic()
    assert ear.until(ALIVE)[-1] == ear.next() == ALIVE
    assert time.monotonic() - begun < 20
    process.send_signal(signal.SIGTERM)
    ear.until(STOPPING)
    assert process.wait(20) == 0


def test_without_systemd_nobody_is_told(tmp_path):
    Notifier.of({}).tell(READY)
    Notifier.of({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell(READY)
    assert Notifier.of({"WATCHDOG_USEC": "0"}).watchdog_s is None


async def test_an_abstract_name_is_understood():
    name = f"gateway-test-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name}")
        Notifier(f"@{name}").tell(READY, "STATUS=well")
        assert heard.recv(100) == b"READY=1\nSTATUS=well"


def test_a_process_whose_loop_hangs_ends_and_says_where():
    hang = (
        "import asyncio, time\nfrom gateway.web.notify import Notifier\n"
        "async def main():\n"
        "    task = asyncio.create_task(Notifier(watchdog_s=0.3).watch())\n"
        "    await asyncio.sleep(0.5)\n"  # longer than it may hang: a loop that runs is left alone
        "    print('alive', flush=True)\n"
        "    time.sleep(30)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", hang], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (1, "alive\n")
    assert "Timeout (0:00:00.27" in done.stderr
    assert "in main" in done.stderr


async def test_the_watch_ends_with_its_task():
    task = asyncio.create_task(Notifier(watchdog_s=0.2).watch())
    await asyncio.sleep(0.01)
    task.cancel()
    with anyio.fail_after(5), pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.3)  # the process is still here
