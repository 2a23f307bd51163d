"""Rewrite the pages."""

from gateway import registry
from gateway.reference import destinations, event

if __name__ == "__main__":
    event.PAGE.write_text(event.page(), encoding="utf-8")
    destinations.PAGE.write_text(destinations.page(registry.load().destinations), encoding="utf-8")
