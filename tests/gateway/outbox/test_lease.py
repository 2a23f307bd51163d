"""One dispatcher at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from gateway.outbox import Outbox

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys, time
from pathlib import Path
from gateway.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]))
print(outbox.take_lease(), flush=True)
time.sleep(60)
"""


def test_one_at_a_time_holds_the_lease(opened):
    one, two = opened(), opened()
    assert one.take_lease()
    assert one.take_lease()  # still
    assert not two.take_lease()
    one.release_lease()
    assert two.take_lease()
    assert not one.take_lease()


def test_closing_gives_the_lease_back(opened):
    one, two = opened(), opened()
    assert one.take_lease()
    one.close()
    assert two.take_lease()


def test_the_lease_ends_with_the_process_that_holds_it(opened, deadline):
    outbox = opened()
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, outbox.path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not outbox.take_lease()
        os.kill(holder.pid, signal.SIGKILL)
        deadline(outbox.take_lease)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_another_name_of_the_file_is_the_same_outbox(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = Outbox(tmp_path / "gateway.db")
    (tmp_path / "other" / "gateway.db").symlink_to(tmp_path / "gateway.db")
    second = Outbox(tmp_path / "other" / "gateway.db")
    assert first.take_lease()
    assert not second.take_lease()
    first.release_lease()
    assert second.take_lease()


def test_whoever_holds_it_knows_when_its_file_was_deleted(tmp_path: Path) -> None:
    first, second = Outbox(tmp_path / "gateway.db"), Outbox(tmp_path / "gateway.db")
    assert first.take_lease()
    assert first.holds_lease()
    (tmp_path / "gateway.db.dispatcher").unlink()
    assert not first.holds_lease()
    assert second.take_lease()
    assert not first.take_lease()
