"""The application every service starts from: health endpoints, problem+json, a limit on bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .guard import Guard
from .problem import PROBLEM_RESPONSES, ErrorShape, Problem, ProblemDetails, code_of, phrase, problem_response

MAX_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether to send traffic here, and the findings behind it."""

    ready: bool
    checks: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[], Readiness]


def _fine() -> Readiness:
    return Readiness(ready=True)


def build_app(
    title: str,
    readiness: Check,
    *,
    version: str = "0.1.0",
    liveness: Check = _fine,
    startup: Check | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    longer_bodies: Mapping[str, int] | None = None,
    error_shapes: Mapping[str, ErrorShape] | None = None,
    **fastapi: Any,
) -> FastAPI:
    """Build an application whose every error is problem+json.

    Args:
        title: name of the API.
        version: of the API.
        max_body_bytes: longest body that is read; a longer one is 413.
        longer_bodies: the longest of single paths, where it is another.
        readiness: asked by `/health/ready`, which answers 200 or 503.
        liveness: asked by `/health/live`; not ready here means that the process should be restarted.
        startup: asked by `/health/startup`, if given.
        error_shapes: other error bodies by path prefix, as `{"/ofrep/": shape}`.
        fastapi: further arguments of FastAPI, as `lifespan` or `description`.
    """
    fastapi["responses"] = {**PROBLEM_RESPONSES, **fastapi.get("responses", {})}
    app = FastAPI(title=title, version=version, redirect_slashes=False, **fastapi)
    respond = _responder(error_shapes or {})
    _handle_errors(app, respond)
    app.add_middleware(Guard, respond=respond, max_body_bytes=max_body_bytes, longer=longer_bodies or {})
    _add_health(app, {"live": liveness, "ready": readiness, **({"startup": startup} if startup else {})})
    return app


def prepare_routes(app: FastAPI) -> None:
    """Have every route prepared now: FastAPI leaves that to the first request, which then waits for them all."""
    for route in app.routes:
        route.matches({"type": "http", "method": "GET", "path": "", "root_path": "", "headers": []})


def _responder(shapes: Mapping[str, ErrorShape]) -> ErrorShape:
    def respond(request: Request, details: ProblemDetails) -> Response:
        for prefix, shape in shapes.items():
            if request.url.path.startswith(prefix):
                return shape(request, details)
        return problem_response(request, details)

    return respond


def _handle_errors(app: FastAPI, respond: ErrorShape) -> None:
    async def on_http(request: Request, error: Exception) -> Response:
        return respond(request, _details(error))

    async def on_invalid(request: Request, error: Exception) -> Response:
        return respond(request, _invalid(error))

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)


def _details(error: Exception) -> ProblemDetails:
    if isinstance(error, Problem):
        return error.details
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    status = error.status_code
    return ProblemDetails(status, code_of(status), phrase(status), str(error.detail), {}, error.headers or {})


def _invalid(error: Exception) -> ProblemDetails:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    faults = [{"pointer": _pointer(fault["loc"]), "message": str(fault["msg"])} for fault in error.errors()]
    detail = "; ".join(f"{fault['pointer']}: {fault['message']}" for fault in faults[:3])
    return ProblemDetails(422, "invalid_request", "Invalid request", detail, {"errors": faults})


def _pointer(location: tuple[int | str, ...]) -> str:
    steps = [str(step).replace("~", "~0").replace("/", "~1") for step in location]
    return "/" + "/".join(steps)


def _add_health(app: FastAPI, checks: Mapping[str, Check]) -> None:
    for name, check in checks.items():
        app.add_api_route(
            f"/health/{name}", _health(check), methods=["GET"], tags=["health"], name=f"health {name}"
        )


def _health(check: Check) -> Callable[[], Any]:
    async def health() -> JSONResponse:
        found = check()
        body = {"status": "pass" if found.ready else "fail", "checks": dict(found.checks)}
        return JSONResponse(body, 200 if found.ready else 503, headers={"Cache-Control": "no-store"})

    return health
