"""Wiring of the back office, for `main`: which adapters stand behind imports, exports, lists and search."""

from __future__ import annotations

from inventory_api.adapters.images import S3Images
from inventory_api.adapters.sql.books import SqlBooks
from inventory_api.adapters.sql.database import Database
from inventory_api.adapters.sql.exports import SqlExports
from inventory_api.adapters.sql.imports import SqlImports
from inventory_api.adapters.sql.listing import SqlListing
from inventory_api.adapters.sql.office import Office
from inventory_api.adapters.writer import OpenAIWriter
from inventory_api.application.exporting import Exports
from inventory_api.application.importing import Imports
from inventory_api.application.insight import Insight
from inventory_api.application.searching import Search
from inventory_api.http.back_office import BackOffice
from inventory_api.http.services import Services
from inventory_api.settings import Settings


def build_office(
    settings: Settings, services: Services, database: Database, images: S3Images, writer: OpenAIWriter
) -> BackOffice:
    """Build it over adapters that exist; long work has connections of its own."""
    office = Office(settings.database_url.get_secret_value(), database.breaker, settings.instance)
    listing = SqlListing(database)
    return BackOffice(
        imports=Imports(SqlImports(office), services.switches, services.stock.all_changed),
        exports=Exports(SqlExports(office), images, services.switches, services.clock),
        listing=listing,
        search=Search(listing, writer),
        insight=Insight(SqlBooks(office), writer, services.switches, services.clock),
    )
