"""Why a whole request is refused."""

from __future__ import annotations

from gateway.model.errors import GatewayError


class RequestRefused(GatewayError):
    """The request as such cannot be taken: answered with `status` as `application/problem+json`."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
