"""Errors of the back office as problem+json."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.exporting import UnknownExportError
from inventory_api.application.importing import TooManyRowsError, UnknownImportError
from inventory_api.domain.errors import InventoryError
from inventory_api.domain.import_row import UnreadableFileError
from resilience_runtime import ProblemDetails
from resilience_runtime.problem import problem_response

_STATUS: dict[type[InventoryError], tuple[int, str]] = {
    UnreadableFileError: (422, "Import unreadable"),
    UnknownImportError: (404, "Import not found"),
    UnknownExportError: (404, "Export not found"),
    TooManyRowsError: (413, "Too many rows"),
}


def handle_office_errors(app: FastAPI) -> None:
    """Give every error of the back office its answer."""

    async def on_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, InventoryError)  # noqa: S101 - registered for nothing else
        status, title = _STATUS[type(error)]
        members = {"errors": [asdict(error.error)]} if isinstance(error, UnreadableFileError) else {}
        return problem_response(request, ProblemDetails(status, error.code, title, error.detail, members))

    for kind in _STATUS:
        app.add_exception_handler(kind, on_error)
