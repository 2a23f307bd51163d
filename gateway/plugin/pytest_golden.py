"""The pytest option `--update-golden`, which rewrites the `expect` part of golden cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("gateway", "conversions gateway destinations")
    group.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite what golden cases expect with what the destination does now; read the diff",
    )
