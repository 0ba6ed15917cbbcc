"""What the routes of the back office work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from inventory_api.application.exporting import Exports
from inventory_api.application.importing import Imports
from inventory_api.application.insight import Insight
from inventory_api.application.listing import Listing
from inventory_api.application.searching import Search


@dataclass(frozen=True, slots=True)
class BackOffice:
    """Everything that a route of the back office may use."""

    imports: Imports
    exports: Exports
    listing: Listing
    search: Search
    insight: Insight


async def _office(request: Request) -> BackOffice:
    office: BackOffice = request.app.state.office
    return office


Working = Annotated[BackOffice, Depends(_office)]
