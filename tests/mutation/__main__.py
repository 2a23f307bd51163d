"""Change the gate and the decoders of consent strings in a small way, thousands of times: tests must notice each.

    python -m tests.mutation             # all of them, on all processors; exit 1 if one survives that nobody explains
    python -m tests.mutation consent     # those of one module

Each mutant runs in a process of its own, which has loaded everything but the gateway.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cryptography
import jsonschema_rs
import msgspec
import pytest

from tests.mutation.explained import EQUIVALENT
from tests.mutation.mutants import mutants

__all__ = ["cryptography", "jsonschema_rs", "msgspec"]  # loaded before the processes part

ROOT = Path(__file__).parents[2]
MODULES = {
    "consent": "gateway.privacy.consent",
    "withdrawal": "gateway.privacy.withdrawal",
    **{name: f"gateway.privacy.signals.{name}" for name in ("bits", "tcf", "gpp", "additional", "heard")},
}
TESTS = [
    "tests/gateway/privacy/signals/test_strings.py",
    "tests/gateway/privacy/test_consent.py",
    "tests/gateway/privacy/test_withdrawal.py",
    "tests/gateway/privacy/test_identity.py",
]
OPTIONS = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=1"]
#: A mutant that takes longer has been noticed.
LONGEST_S = 60


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module's changed code in its place."""

    def __init__(self, module: str, code: Any, path: str) -> None:
        self._module, self._code, self._path = module, code, path

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Only the one module's."""
        if name != self._module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=self._path)

    def exec_module(self, module: Any) -> None:
        """Run the changed code."""
        module.__file__ = self._path
        exec(self._code, module.__dict__)


def survives(module: str, code: Any, path: str) -> bool:
    """Whether the tests pass all the same."""
    child = os.fork()
    if child:
        end = time.monotonic() + LONGEST_S
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False
    noticed = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        sys.meta_path.insert(0, _Loader(module, code, path))
        noticed = pytest.main([*OPTIONS, *TESTS])
    finally:
        os._exit(noticed)


def tried(work: tuple[str, int]) -> tuple[str, int, str, bool]:
    """Module, line, what was changed, and whether nobody noticed."""
    short, number = work
    module = MODULES[short]
    path = ROOT / f"{module.replace('.', '/')}.py"
    line, name, tree = list(mutants(path.read_text("utf-8")))[number]
    return short, line, name, survives(module, compile(tree, str(path), "exec"), str(path))


def main(chosen: list[str]) -> int:
    """Try all; tell those that survive."""
    nothing = compile("", "nothing", "exec")
    if not survives("nothing", nothing, "nothing"):
        print("the tests fail on the code as it is")
        return 1
    work = []
    for short in chosen or MODULES:
        source = (ROOT / f"{MODULES[short].replace('.', '/')}.py").read_text("utf-8")
        work += [(short, number) for number, _ in enumerate(mutants(source))]
    survivors = explained = 0
    with multiprocessing.get_context("fork").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        for short, line, name, survived in pool.imap_unordered(tried, work):
            if not survived:
                continue
            source = (ROOT / f"{MODULES[short].replace('.', '/')}.py").read_text("utf-8").splitlines()
            text = source[line - 1].strip()
            if any(part in text and change in ("", name) for part, change in EQUIVALENT.get(short, {})):
                explained += 1
                continue
            survivors += 1
            print(f"{short}:{line}: {name}: {text}", flush=True)
    print(f"{len(work)} mutants, {survivors} survive, {explained} change nothing")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
