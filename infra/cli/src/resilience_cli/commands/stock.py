"""`resilience stock`: what Kafka says of the stock, said again."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from resilience_cli.console import EXIT_CODES, out
from resilience_cli.errors import StackError
from resilience_cli.progress import counted
from resilience_cli.republish import republish as publish_again
from resilience_cli.target import database_url
from resilience_cli.until_told import run_until_told

app = typer.Typer(
    help="The stock of every SKU, as integrators read it.", epilog=EXIT_CODES, no_args_is_help=True
)


@app.callback()
def _group() -> None:
    pass


@app.command(epilog=f"Example: resilience stock republish. {EXIT_CODES}")
def republish(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """Publish the state of every SKU to inventory.stock.v1 again, as after Kafka was lost.

    inventory-api must run, as it does the publishing; customers notice nothing. DATABASE_URL names a database other
    than the stack's. Stopped in the middle, run it again: readers know a state that they have by its sequence.
    """
    with counted("publishing") as told:
        done = run_until_told(publish_again(database_url(), told))
    if done is None:
        raise StackError("stopped before all was published", "run it again")
    if as_json:
        print(json.dumps({"skus": done}))
    else:
        out.print(f"Published the state of {done:,} SKUs to inventory.stock.v1")
