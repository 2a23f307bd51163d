"""The routes that Starlette's router serves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.responses import Response
from starlette.routing import Route

from gateway.web import admin, metrics
from gateway.web.conversions_api import post_conversions
from gateway.web.events import validate
from gateway.web.openapi import encoded
from gateway.web.problem import FAILED_S, FULL_S, Json, Later, Problem
from gateway.web.segment import SETTINGS, get_settings
from gateway.web.snippet import get_snippet
from gateway.web.webhooks import post_webhook

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.web.service import Service


async def healthz(_request: Request) -> Json:
    """The process is alive."""
    return Json({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Whether events are taken. A destination that is not well is named, and changes nothing."""
    service: Service = request.state.service
    if service.outbox.failure is not None:
        return Problem(Later(503, "storage_failed", "the disk failed: nothing can be stored", FAILED_S))
    if time.monotonic() < service.full_until:
        return Problem(Later(503, "disk_full", "the disk is full: nothing can be stored", FULL_S))
    if service.draining:
        return Problem(Later(503, "draining", "the process is ending", FAILED_S))
    return Json({"status": "ready", "stopped_destinations": await service.stopped()})


async def get_metrics(request: Request) -> Response:
    """The counters."""
    service: Service = request.state.service
    text = await anyio.to_thread.run_sync(service.metrics.text)
    return Response(text, media_type=metrics.CONTENT_TYPE)


async def openapi(_request: Request) -> Response:
    """The description of this API."""
    return Response(encoded(), media_type=Json.media_type)


ROUTES = (
    Route("/v1/validate", validate, methods=["POST"]),
    Route("/webhooks/{source}", post_webhook, methods=["POST"]),
    Route("/collect.js", get_snippet),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", get_metrics),
    Route("/openapi.json", openapi),
    *admin.ROUTES,
    Route("/{version}/{pixel_id}/events", post_conversions, methods=["POST"]),
    *(Route(path, get_settings, methods=["GET", "OPTIONS"]) for path in SETTINGS),
)
