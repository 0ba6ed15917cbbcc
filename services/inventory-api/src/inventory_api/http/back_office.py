"""What the routes of the back office work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from inventory_api.application.importing import Imports


@dataclass(frozen=True, slots=True)
class BackOffice:
    """Everything that a route of the back office may use."""

    imports: Imports


async def _office(request: Request) -> BackOffice:
    office: BackOffice = request.app.state.office
    return office


Working = Annotated[BackOffice, Depends(_office)]
