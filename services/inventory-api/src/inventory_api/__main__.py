"""`python -m inventory_api`."""

from __future__ import annotations

from .main import start

if __name__ == "__main__":
    start()
