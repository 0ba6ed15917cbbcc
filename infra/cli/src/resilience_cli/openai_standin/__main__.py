"""`python -m resilience_cli.openai_standin --port 4010`."""

from __future__ import annotations

import argparse
import random

import uvicorn

from .app import create_app


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(
        prog="resilience_cli.openai_standin", description="A stand-in for OpenAI."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4010)
    options = parser.parse_args()
    app = create_app(random.Random(0))  # noqa: S311  # which requests fail is not a secret
    uvicorn.run(app, host=options.host, port=options.port, log_level="info", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
