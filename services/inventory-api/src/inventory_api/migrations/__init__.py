"""The schema's history, shipped with the package; `python -m inventory_api.migrations` brings a database up to date."""

from __future__ import annotations

from importlib import resources


def newest_revision() -> str:
    """Return the revision this code needs, from the file names, so that Alembic need not be loaded to know."""
    versions = resources.files(__package__).joinpath("versions")
    names = [entry.name for entry in versions.iterdir() if entry.name.endswith(".py")]
    return max(name.partition("_")[0] for name in names if name[0].isdigit())
