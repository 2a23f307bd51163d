"""How a process ends when something in it fails."""

import asyncio
import signal

import anyio
import pluggy
import pytest
from structlog.testing import capture_logs

from gateway.model.errors import OutboxFailed
from gateway.outbox import Outbox
from gateway.plugin import hookspecs
from gateway.plugin.hookspecs import PROJECT
from gateway.registry import Registry
from gateway.web.process import EXIT_DISK, EXIT_WRONG, Loaded, Process

pytestmark = pytest.mark.anyio


@pytest.fixture
def loaded(settings):
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return Loaded(settings.path, settings, Registry({}, {}, manager))


@pytest.fixture
async def process(loaded, outbox, anyio_backend):
    return Process(loaded, outbox, dispatch=True)


@pytest.fixture(autouse=True)
async def own_signals(anyio_backend):
    """The test's process gets its own handlers back."""
    yield
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(number)


async def test_it_ends_in_order_and_gives_the_lease_back(process, outbox, settings):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(process.run)
        with anyio.fail_after(5):
            while not process.dispatcher.has_lease:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        other = Outbox(settings.outbox.path)
        assert not other.take_lease()
        process.stop()
    assert process.exit_code == 0
    assert other.take_lease()
    other.close()


async def test_a_failed_disk_ends_it_with_74(process, outbox, monkeypatch):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(process.run)
        await anyio.sleep(0.05)
        monkeypatch.setattr(type(outbox), "failure", OutboxFailed("gone"))
        with anyio.fail_after(5):
            await process.stopping.wait()
    assert process.exit_code == EXIT_DISK


async def test_a_dispatcher_that_fails_takes_the_process_along(process, monkeypatch):
    async def fail():
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(process.dispatcher, "run", fail)
    with anyio.fail_after(5):
        await process.run()
    assert process.exit_code == EXIT_WRONG


async def test_without_a_dispatcher_it_leaves_the_lease_alone(loaded, outbox, settings):
    process = Process(loaded, outbox, dispatch=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(process.run)
        await anyio.sleep(0.05)
        other = Outbox(settings.outbox.path)
        assert other.take_lease()
        other.close()
        process.stop()
    assert process.exit_code == 0


async def test_a_dispatcher_whose_lease_was_deleted_ends(process, outbox, settings):
    """Before long: another process can have it now."""
    with capture_logs() as lines:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(process.run)
            while not process.dispatcher.has_lease:  # noqa: ASYNC110  # nothing tells
                await anyio.sleep(0.01)
            settings.outbox.path.with_name("gateway.db.dispatcher").unlink()
            with anyio.fail_after(5):
                await process.stopping.wait()
    assert process.exit_code == 1
    assert [line["event"] for line in lines if line["log_level"] == "critical"] == ["lease_lost"]


async def test_a_disk_that_is_full_and_then_is_not_is_told_once_each(process, outbox, monkeypatch):
    state = {"full": False}
    monkeypatch.setattr(type(outbox), "full", property(lambda self: state["full"]))
    with capture_logs() as lines:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(process.run)
            for state["full"] in (False, True, True, False):
                await anyio.sleep(0.25)
            process.stop()
    told = [line["event"] for line in lines if "disk" in line["event"]]
    assert told == ["disk_full", "disk_has_space"]
