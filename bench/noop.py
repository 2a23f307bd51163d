"""The yardstick: a Starlette endpoint that reads the body and answers, on the same server with the same options.

python -m bench.noop PORT
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request


async def take(request: Request) -> JSONResponse:
    await request.body()
    return JSONResponse({"ok": True}, 202)


app = Starlette(routes=[Route("/v1/events", take, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="warning")
