from __future__ import annotations

from resilience_runtime.lifecycle import run_service

from .main import main

if __name__ == "__main__":
    run_service(main)
