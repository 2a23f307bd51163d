"""A self-hosted gateway that delivers conversion events, under consent, to every ad platform."""

__version__ = "0.1.0"
