"""The `resilience` command: its verbs, and how errors leave it."""

from __future__ import annotations

import logging
import sys

import typer

from .commands import chaos
from .commands.down import down
from .commands.up import up
from .console import EXIT_CODES, Exit, complain
from .errors import StackError

app = typer.Typer(
    name="resilience",
    help="Run Retail Resilience on this machine, watch it, break it, mend it.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=EXIT_CODES)(up)
app.command(epilog=EXIT_CODES)(down)
app.add_typer(chaos.app, name="chaos")


def main() -> None:
    """Run the command."""
    # Clients of Kafka log each failed attempt; this command says itself what failed.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        app()
    except StackError as error:
        complain(error.message, error.remedy)
        sys.exit(Exit.FAILED)
    except KeyboardInterrupt:
        sys.exit(Exit.OK)


if __name__ == "__main__":
    main()
