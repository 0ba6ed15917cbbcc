"""A policy file as its author sees it: readable or not, and where each fault stands."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from resilience_contracts import Policy, PolicyError, parse_policy

from .errors import StackError

STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that the file breaks. `key` is empty where the fault is in the file as a whole."""

    key: str
    rule: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Checked:
    """A policy, or its faults."""

    policy: Policy | None
    faults: tuple[Fault, ...] = ()


def check_policy(path: Path) -> Checked:
    """Read a policy file, `-` for stdin, and check every rule.

    Raises:
        StackError: there is no such file, or it is not text.
    """
    text = _text(path)
    try:
        return Checked(parse_policy(text))
    except PolicyError as error:
        return Checked(None, tuple(_faults(str(error), text)))


def sound_policy(path: Path) -> Policy:
    """Read a policy file that has to be right.

    Raises:
        StackError: it cannot be read or breaks a rule.
    """
    checked = check_policy(path)
    if checked.policy is None:
        first = checked.faults[0]
        raise StackError(
            f"{path} is no policy ({first.key or 'file'}: {first.rule})",
            f"see every fault with `resilience policy check {path}`",
        )
    return checked.policy


def _text(path: Path) -> str:
    try:
        return sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise StackError(f"{path} cannot be read ({reason})", "name a policy file, or - for stdin") from error


def _faults(message: str, text: str) -> Iterator[Fault]:
    root = _compose(text)
    for line in message.splitlines():
        key, colon, rule = line.partition(": ")
        if colon and " " not in key:
            yield Fault(key, rule, _line_of(root, key))
        else:
            yield Fault("", line, None)


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None


def _line_of(root: yaml.Node | None, key: str) -> int | None:
    """Return the line of a key; of the innermost part of it that is written, where it is not."""
    line, node, steps = None, root, key.split(".")
    while node is not None and steps:
        taken, marked, node = _descend(node, steps)
        if marked is None:
            break
        line, steps = marked.start_mark.line + 1, steps[taken:]
    return line


def _descend(node: yaml.Node, steps: Sequence[str]) -> tuple[int, yaml.Node | None, yaml.Node | None]:
    """Take the longest way down that is one key: keys of features have dots in them."""
    if isinstance(node, yaml.SequenceNode) and steps[0].isdecimal() and int(steps[0]) < len(node.value):
        item = node.value[int(steps[0])]
        return 1, item, item
    if isinstance(node, yaml.MappingNode):
        below = {str(key.value): (key, value) for key, value in node.value}
        for taken in range(len(steps), 0, -1):
            if found := below.get(".".join(steps[:taken])):
                return taken, *found
    return 0, None, None
