"""`resilience dlq`: what could not be read or applied, why, and sending it again."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from resilience_cli.apart import run_apart
from resilience_cli.console import EXIT_CODES, Exit, out, tame
from resilience_cli.durations import parse_duration
from resilience_cli.errors import StackError
from resilience_cli.letters import (
    DEAD_LETTER_TOPICS,
    MAX_ATTEMPTS,
    Letter,
    Plan,
    Wish,
    letters,
    plan,
    send_again,
)
from resilience_cli.records import read_records
from resilience_cli.target import find_target
from resilience_contracts import Topic, dead_letter_topic
from resilience_runtime.bus import PublishError
from resilience_runtime.kafka.access import KafkaAccess
from resilience_runtime.kafka.publisher import KafkaPublisher

app = typer.Typer(
    help="Dead letters: records that a service could not read or apply, kept unchanged for 30 days.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)

SHOWN_CHARACTERS = 4_000


def _topics(incomplete: str) -> list[str]:
    return [topic for topic in Topic if topic.startswith(incomplete)]


def _known(topic: str | None) -> str | None:
    name = (topic or "").removesuffix(".dlq")
    if topic and name not in set(Topic):
        raise typer.BadParameter(f"{topic} is no topic; topics are {', '.join(Topic)}")
    return name or None


TopicOption = Annotated[
    str | None,
    typer.Option(
        help="Letters of this topic alone.", callback=_known, autocompletion=_topics, metavar="TOPIC"
    ),
]
Reason = Annotated[str | None, typer.Option(help="Letters with this reason alone, as `list` names it.")]
Since = Annotated[
    timedelta | None,
    typer.Option(parser=parse_duration, metavar="LENGTH", help="Letters of the last 30m, 2h, 1d alone."),
]
Until = Annotated[
    timedelta | None,
    typer.Option(parser=parse_duration, metavar="LENGTH", help="Letters older than that alone."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]


@app.command("list", epilog=EXIT_CODES)
def list_letters(
    *,
    topic: TopicOption = None,
    reason: Reason = None,
    since: Since = None,
    each: Annotated[bool, typer.Option("--each", help="One line for each letter, with its id.")] = False,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by topic and reason; exits with 0 whether or not there are any."""
    wish = _wish(reason, since, None)
    found = [letter for letter in _read(topic) if wish.admits(letter)]
    if as_json:
        document = {"groups": _groups(found)} | ({"letters": [_brief(one) for one in found]} if each else {})
        print(json.dumps(document, indent=2))
    elif not found:
        out.print("No dead letters.")
    elif each:
        for letter in found:
            _print(
                f"{letter.at:%Y-%m-%d %H:%M:%S}  {letter.id}  {letter.reason}: {letter.text}{_again(letter)}"
            )
    else:
        out.print(_table(_groups(found)))


@app.command(epilog=EXIT_CODES)
def show(
    letter_id: Annotated[
        str, typer.Argument(metavar="ID", help="As `dlq list --each` and `dlq replay` name it.")
    ],
    *,
    full: Annotated[bool, typer.Option("--full", help="The whole value, however long.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one letter: why it failed, its headers, key and value. Nothing in it reaches the terminal as a command."""
    topic = _known(letter_id.partition("/")[0])
    letter = next((one for one in _read(topic) if one.id == letter_id), None)
    if letter is None:
        raise StackError(f"there is no letter {letter_id}", "take an id of `resilience dlq list --each`")
    if as_json:
        print(json.dumps(_whole(letter), indent=2))
        return
    _print(f"{letter.id} of {letter.at:%Y-%m-%d %H:%M:%S} UTC, failed {letter.attempt} times{_again(letter)}")
    _print(f"{letter.stage or 'unknown stage'}: {letter.reason}: {letter.text}")
    _print(f"origin {letter.origin}")
    for name, value in letter.original_headers():
        _print(f"  {name}: {_text(value)}")
    _print(f"key {_text(letter.message.key)}")
    content = _text(letter.message.value)
    out.print(tame(content if full else content[:SHOWN_CHARACTERS]), markup=False, soft_wrap=True)
    if not full and len(content) > SHOWN_CHARACTERS:
        out.print(f"... {len(content) - SHOWN_CHARACTERS} characters more: --full")


@app.command(epilog=f"Example: resilience dlq replay --topic inventory.commands.v1 --dry-run. {EXIT_CODES} "
             "A letter that was left alone because it cannot be sent is 1.")  # fmt: skip
def replay(
    *,
    topic: TopicOption = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    letter_id: Annotated[
        list[str] | None, typer.Option("--id", help="This letter alone; may be repeated.")
    ] = None,
    max_attempts: Annotated[
        int, typer.Option(min=1, help="Leave alone what failed as often.")
    ] = MAX_ATTEMPTS,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send letters again: original bytes and headers, to the original topic, each once however often this runs.

    Mend what refused them first. What fails again comes back as a new letter with a higher attempt.
    """
    if not (topic or reason or since or letter_id):
        raise typer.BadParameter("say which: --topic, --reason, --since or --id")
    wish = _wish(reason, since, until, frozenset(letter_id or ()))
    chosen = plan(_read(topic), wish, max_attempts)
    if not dry_run:
        run_apart(_send(find_target().kafka, chosen.send))
    _show_plan(chosen, dry_run=dry_run, as_json=as_json)
    unsent = [one for one, _ in chosen.skip if one.obstacle(max_attempts) and not one.replayed]
    raise typer.Exit(Exit.FOUND if unsent else Exit.OK)


async def _send(kafka: KafkaAccess, chosen: list[Letter]) -> None:
    async with KafkaPublisher(kafka, "resilience-dlq") as publisher:
        for number, letter in enumerate(chosen):
            try:
                await send_again(letter, publisher)
            except PublishError as error:
                raise StackError(
                    f"{letter.id} was not confirmed, {number} before it were sent",
                    "run the same command again",
                ) from error


def _read(topic: str | None) -> list[Letter]:
    names = [dead_letter_topic(topic)] if topic else DEAD_LETTER_TOPICS
    return letters(read_records(find_target().kafka, names))


def _wish(
    reason: str | None, since: timedelta | None, until: timedelta | None, ids: frozenset[str] = frozenset()
) -> Wish:
    now = datetime.now(UTC)
    return Wish(ids, reason, now - since if since else None, now - until if until else None)


def _groups(found: list[Letter]) -> list[dict[str, Any]]:
    groups: defaultdict[tuple[str, str, str], list[Letter]] = defaultdict(list)
    for letter in found:
        groups[letter.message.topic, letter.reason, letter.stage].append(letter)
    return [
        {
            "topic": topic,
            "reason": reason,
            "stage": stage,
            "letters": len(some),
            "replayed": sum(letter.replayed for letter in some),
            "first": min(letter.at for letter in some).isoformat(timespec="seconds"),
            "last": max(letter.at for letter in some).isoformat(timespec="seconds"),
        }
        for (topic, reason, stage), some in sorted(groups.items())
    ]


def _table(groups: list[dict[str, Any]]) -> Table:
    columns = ("topic", "reason", "stage", "letters", "replayed", "last")
    table = Table(box=None, header_style="bold dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "topic")
    for group in groups:
        shown = group | {"last": group["last"][5:16].replace("T", " ")}
        table.add_row(*(escape(tame(str(shown[column]))) for column in columns))
    return table


def _show_plan(chosen: Plan, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        document = {
            "dry_run": dry_run,
            "sent": [_brief(letter) for letter in chosen.send],
            "left": [_brief(letter) | {"why": why} for letter, why in chosen.skip],
        }
        print(json.dumps(document, indent=2))
        return
    done = "would be sent" if dry_run else "sent"
    for letter in chosen.send:
        _print(f"{done} to {letter.topic}: {letter.id}  {letter.reason}: {letter.text}")
    for letter, why in chosen.skip:
        _print(f"left: {letter.id} {why}")
    out.print(f"{len(chosen.send)} {done}, {len(chosen.skip)} left alone")


def _brief(letter: Letter) -> dict[str, Any]:
    names = ("id", "origin", "topic", "reason", "text", "stage", "attempt", "replayed")
    return {name: getattr(letter, name) for name in names} | {"at": letter.at.isoformat()}


def _whole(letter: Letter) -> dict[str, Any]:
    headers = [{"name": name, **_exact(value)} for name, value in letter.original_headers()]
    message = letter.message
    return _brief(letter) | {"headers": headers, "key": _exact(message.key), "value": _exact(message.value)}


def _exact(content: bytes | None) -> dict[str, str | None]:
    """Give bytes to a program: as `text` where they are UTF-8, else as `base64`."""
    if content is None:
        return {"text": None}
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _text(content: bytes | None) -> str:
    return "(none)" if content is None else content.decode(errors="backslashreplace")


def _again(letter: Letter) -> str:
    return ", sent again" if letter.replayed else ""


def _print(text: str) -> None:
    out.print(tame(text).replace("\n", "\\n"), markup=False, soft_wrap=True)
