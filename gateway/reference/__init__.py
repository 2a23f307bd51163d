"""Pages of docs/ that are made from what they describe: `python -m gateway.reference` rewrites them."""

from gateway.reference.event import PAGE, examples, page

__all__ = ["PAGE", "examples", "page"]
