"""How a destination's requests are signed in, as declarations. The core reads the secrets and applies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Bearer:
    """`Authorization: Bearer <config[key]>`."""

    key: str


@dataclass(frozen=True, slots=True)
class Header:
    """A header of its own: `<name>: <config[key]>`."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter: `?<name>=<config[key]>`. Redacted wherever a URL is shown."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Proof:
    """A query parameter with hex `HMAC-SHA256(key=config[key], msg=config[message])`; left out if `key` is not set."""

    name: str
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Signature:
    """A header `t=<unix seconds>,v1=<hex HMAC-SHA256(config[key], "<t>.<body>")>`; left out if `key` is not set."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class OAuth:
    """An OAuth 2.0 access token as Bearer, renewed by the core (RFC 6749 §6, RFC 7523).

    The instance's configuration has either `client_id`, `client_secret` and `refresh_token`, or
    `service_account_file`; `token_url` replaces the default.
    """

    token_url: str
    scope: str


Auth: TypeAlias = Bearer | Header | Query | Proof | Signature | OAuth
