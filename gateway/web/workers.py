"""Several processes on one listening socket: `[server] workers`. Plain code, before any loop or thread."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from gateway.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: What the parent passes on.
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Exit codes that another start would not change: wrong configuration, failed disk.
LASTING = (2, 74)
#: Seconds before a worker that ended is started again.
RESTART_S = 1.0

log = get_logger("workers")


class Supervisor:
    """Keeps `count` workers running until it is told to stop."""

    def __init__(self, count: int, work: Callable[[int], int], *, restart_s: float = RESTART_S) -> None:
        """`work` runs in each child with its number from 0, and returns the exit code."""
        self._count = count
        self._work = work
        self._restart_s = restart_s
        self._running: dict[int, int] = {}
        self._stopping = False
        self._exit_code = 0

    def run(self) -> int:
        """Start the workers and wait for them. Returns the exit code of all of it."""
        for number in FORWARDED:
            signal.signal(number, self._forward)
        for index in range(self._count):
            self._start(index)
        while self._running:
            pid, status = os.wait()
            self._ended(self._running.pop(pid), os.waitstatus_to_exitcode(status))
        return self._exit_code

    def _start(self, index: int) -> None:
        # until the child has its own handlers, a signal has to wait
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        pid = os.fork()
        if pid == 0:
            for number in FORWARDED:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
            os._exit(self._child(index))
        self._running[pid] = index
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)

    def _child(self, index: int) -> int:
        try:
            return self._work(index)
        except Exception as error:
            log.error("worker_failed", worker=index, exc_info=error)
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    def _ended(self, index: int, code: int) -> None:
        if self._stopping:
            self._exit_code = self._exit_code or abs(code)
            return
        log.error("worker_ended", worker=index, exit_code=code)
        if code in LASTING:
            self._exit_code = code
            self._forward(signal.SIGTERM, None)
            return
        time.sleep(self._restart_s)
        if not self._stopping:
            self._start(index)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGHUP:
            self._stopping = True
        for pid in list(self._running):
            os.kill(pid, number)
