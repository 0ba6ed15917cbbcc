"""Each command of each runbook, against the running system."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from resilience_cli.stack.ports import VARIABLES
from resilience_contracts import Level
from tests.e2e.shop import Shop
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PAGES = sorted(Path("docs/runbooks").glob("*.md"))
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = sorted(
    {line for page in PAGES for block in BLOCK.findall(page.read_text()) for line in block.splitlines()}
)


@pytest.fixture(scope="module")
def eventful_stack(quick_stack: RunningStack) -> RunningStack:
    """A system with something to tell."""
    shop = Shop(quick_stack.url("inventory-api"), quick_stack.url("flag-service"), quick_stack.operator_key())
    both_at(shop, Level.OPTIMAL)
    quick_stack.stop("s3")
    both_at(shop, Level.DEGRADED)
    quick_stack.restore("s3")
    both_at(shop, Level.OPTIMAL)
    shop.close()
    return quick_stack


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_runbooks_works(eventful_stack: RunningStack, command: str) -> None:
    here = re.sub(
        r"http://127\.0\.0\.1:(\d+)", lambda found: eventful_stack.url(_NAMES[int(found[1])]), command
    )

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", here],
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

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip(), "it says nothing"


_NAMES = {port: name for name, (_, port) in VARIABLES.items()}
