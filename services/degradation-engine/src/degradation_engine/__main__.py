"""`python -m degradation_engine`."""

from __future__ import annotations

from .main import main

main()
