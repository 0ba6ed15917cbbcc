"""The `resilience` command: its verbs, and how errors leave it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
import typer

from .commands import acls, audit, chaos, dlq, golive, hold, incident, keys, policy, rollout, stock, topics
from .commands.backup import backup, backups, restore
from .commands.doctor import doctor
from .commands.down import down
from .commands.smoke import smoke
from .commands.status import status, watch
from .commands.tail import tail
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
for command in (up, down, status, watch, tail, smoke, doctor, backup, backups, restore):
    app.command(epilog=EXIT_CODES)(command)
app.add_typer(acls.app, name="acls")
app.add_typer(audit.app, name="audit")
app.add_typer(chaos.app, name="chaos")
app.add_typer(dlq.app, name="dlq")
app.add_typer(golive.app, name="golive")
app.add_typer(hold.app, name="hold")
app.add_typer(incident.app, name="incident")
app.add_typer(keys.app, name="keys")
app.add_typer(policy.app, name="policy")
app.add_typer(rollout.app, name="rollout")
app.add_typer(stock.app, name="stock")
app.add_typer(topics.app, name="topics")


def run(arguments: Sequence[str]) -> int:
    """Run the command with arguments; return its exit code."""
    try:
        with _quiet():
            app(arguments)
    except StackError as error:
        complain(error.message, error.remedy)
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.OK
    except SystemExit as end:
        return int(end.code or 0)
    return Exit.OK


@contextmanager
def _quiet() -> Iterator[None]:
    """Let libraries log nothing: this command says itself what failed."""
    clients, before, level = logging.getLogger("aiokafka"), structlog.get_config(), logging.CRITICAL
    clients_level = clients.level
    clients.setLevel(level)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    try:
        yield
    finally:
        clients.setLevel(clients_level)
        structlog.configure(**before)


def main() -> None:
    """Run the command as the shell calls it."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
