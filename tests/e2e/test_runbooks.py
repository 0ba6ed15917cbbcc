"""Each command of each runbook, against the running system."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience_cli.stack.ports import VARIABLES
from resilience_contracts import Level, default_policy_text
from tests.e2e.shop import Shop
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.operations, pytest.mark.timeout(300)]

PAGES = sorted(Path("docs/runbooks").glob("*.md"))
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:resilience|curl) [^`]+)`")
COMMANDS = sorted(
    {line for page in PAGES for block in BLOCK.findall(page.read_text()) for line in block.splitlines()}
)
FINDS = "resilience golive check"
"""It ends with 1 here, where nobody attests anything."""


@pytest.fixture(scope="module")
def eventful_shop(quick_stack: RunningStack) -> Iterator[Shop]:
    """A shop on a system with something to tell."""
    shop = Shop(quick_stack.url("inventory-api"), quick_stack.url("flag-service"), quick_stack.operator_key())
    both_at(shop, Level.OPTIMAL)
    quick_stack.stop("s3")
    both_at(shop, Level.DEGRADED)
    quick_stack.restore("s3")
    both_at(shop, Level.OPTIMAL)
    yield shop
    shop.close()


@pytest.fixture
def eventful_stack(quick_stack: RunningStack, eventful_shop: Shop) -> RunningStack:
    """That system, well again after whatever the command before did to it."""
    both_at(eventful_shop, Level.OPTIMAL)
    return quick_stack


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are typed: what they write lands here, and another policy lies here."""
    directory = Path(tmp_path_factory.mktemp("desk"))
    directory.chmod(0o755)
    (directory / "shared").symlink_to(Path("shared").resolve())
    (directory / "other.yaml").write_text(default_policy_text(), encoding="utf-8")
    return directory


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_named_in_passing_is_also_run(page: Path) -> None:
    named = {command.partition(" --")[0] for command in INLINE.findall(page.read_text())}

    assert {name for name in named if not any(name in command for command in COMMANDS)} == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_runbooks_works(eventful_stack: RunningStack, desk: Path, command: str) -> None:
    here = re.sub(
        r"http://127\.0\.0\.1:(\d+)", lambda found: eventful_stack.url(_NAMES[int(found[1])]), command
    )

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", here],
        cwd=desk,
        env={
            **os.environ,
            "RESILIENCE_STACK_DIR": str(eventful_stack.root),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == int(command.startswith(FINDS)), done.stdout + done.stderr
    assert done.stdout.strip(), "it says nothing"


_NAMES = {port: name for name, (_, port) in VARIABLES.items()}
