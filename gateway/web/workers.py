"""Several processes on one listening socket: `[server] workers`. Plain code, before any loop or thread.

A signal comes to this process alone, or to all of them at once, as by Ctrl-C in a terminal or by systemd. To count it
once either way, the workers ignore signals and are told through a pipe: one byte, the number of the signal. When the
pipe ends, this process has ended, and its workers do too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: What the workers hear of through their pipes only.
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Exit codes that another start would not change: wrong configuration, failed disk.
LASTING = (2, 74)
#: Seconds before a worker that ended is started again.
RESTART_S = 1.0

log = get_logger("workers")


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that is running."""

    index: int
    #: Where to write what it is told.
    orders: int


class Supervisor:
    """Keeps `count` workers running until it is told to stop."""

    def __init__(
        self,
        count: int,
        work: Callable[[int, int], int],
        *,
        restart_s: float = RESTART_S,
        ending: Callable[[], None] = lambda: None,
    ) -> None:
        """`work` runs in each child with its number from 0 and its end of the pipe; it returns the exit code.

        `ending` is called here once no worker is started any more.
        """
        self._ending = ending
        self._count = count
        self._work = work
        self._restart_s = restart_s
        self._running: dict[int, Worker] = {}
        self._stopping = self._told_to_stop = False
        self._exit_code = 0

    def run(self) -> int:
        """Start the workers and wait for them. Returns the exit code of all of it."""
        for number in PASSED_ON:
            signal.signal(number, self._heard)
        for index in range(self._count):
            self._start(index)
        while self._running:
            pid, status = os.wait()
            worker = self._running.pop(pid)
            os.close(worker.orders)
            self._ended(worker.index, os.waitstatus_to_exitcode(status))
        return self._exit_code

    def _start(self, index: int) -> None:
        # a signal that came in between would miss a worker that is not in the list yet
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        if not self._stopping:
            told, orders = os.pipe()
            pid = os.fork()
            if pid == 0:
                self._become_worker(orders)
                os._exit(self._child(index, told))
            os.close(told)
            self._running[pid] = Worker(index, orders)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)

    def _become_worker(self, orders: int) -> None:
        for number in PASSED_ON:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        # a pipe ends when nobody holds the end that is written to
        for end in (orders, *(other.orders for other in self._running.values())):
            os.close(end)

    def _child(self, index: int, told: int) -> int:
        try:
            return self._work(index, told)
        except Exception as error:
            log.error("worker_failed", worker=index, exc_info=error)
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    def _ended(self, index: int, code: int) -> None:
        if self._stopping:
            self._exit_code = self._exit_code or (code if code >= 0 else 128 - code)
            return
        log.error("worker_ended", worker=index, exit_code=code)
        if code in LASTING:
            self._exit_code = code
            self._end(signal.SIGTERM)
            return
        time.sleep(self._restart_s)
        self._start(index)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._tell(number)
        elif not self._told_to_stop:
            self._told_to_stop = True
            self._end(number)
        else:
            self._exit_code = 128 + number
            for pid in list(self._running):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _end(self, number: int) -> None:
        self._stopping = True
        self._ending()
        self._tell(number)

    def _tell(self, number: int) -> None:
        for worker in list(self._running.values()):
            with contextlib.suppress(BrokenPipeError):  # it has just ended
                os.write(worker.orders, bytes([number]))
