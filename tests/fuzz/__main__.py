"""Fuzzes what reads foreign bytes, by atheris and libFuzzer, for a bounded time.

    make fuzz                                   each target for a minute
    make fuzz ARGS="codec --seconds 600"        one, for longer

It goes on from `.stack/fuzz/TARGET/corpus`, where it keeps what reached something new; the first time it begins with the
target's seeds. An input that breaks a rule is kept beside it as `crash-...` (`timeout-...` after 5 s), is done again
by `python -m tests.fuzz.TARGET FILE`, and becomes a test when it is mended. Exit codes: 0 nothing found, 1 something,
2 wrong usage, 3 not to be had for this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import SEEDS

PLACE = Path(".stack/fuzz")
SECONDS, INPUT_S, MEMORY_MB, LONGEST_BYTES, END_S = 60, 5, 2_048, 16_384, 60
FOUND, USAGE, NOT_HERE = 1, 2, 3


def fuzz(target: str, seconds: int, place: Path = PLACE) -> tuple[int, str]:
    """Fuzz one target for so many seconds; return the exit code of libFuzzer and what it and the target said."""
    corpus = place / target / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS[target]():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "timeout": INPUT_S,
        "rss_limit_mb": MEMORY_MB,
        "max_len": LONGEST_BYTES,
        "artifact_prefix": f"{corpus.parent}/",
        "print_final_stats": 1,
    }
    words = [f"-{name}={value}" for name, value in options.items()]
    ran = subprocess.run(
        [sys.executable, "-m", f"tests.fuzz.{target}", *words, str(corpus)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + END_S,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def executions(said: str) -> int:
    """Read how many inputs were tried."""
    found = re.search(r"number_of_executed_units: (\d+)", said)
    return int(found[1]) if found else 0


def finding(said: str) -> str:
    """Leave out what libFuzzer says of its progress."""
    lines = (line for line in said.splitlines() if line and not re.match(r"#\d|INFO|WARNING|stat::", line))
    return "\n".join(lines)


def main() -> int:
    """Fuzz what is named, or all."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="See tests/fuzz/__main__.py.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(SEEDS)}; all by default")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each, %(default)s by default")
    wished = parser.parse_args()
    unknown = set(wished.targets) - set(SEEDS)
    if unknown:
        print(f"No target {', '.join(sorted(unknown))}; there are {', '.join(SEEDS)}", file=sys.stderr)
        return USAGE
    if wished.seconds < 1:
        print("--seconds: at least 1", file=sys.stderr)
        return USAGE
    if importlib.util.find_spec("atheris") is None:
        print("atheris comes for x86-64 alone; fuzz on such a machine", file=sys.stderr)
        return NOT_HERE
    broken = False
    for target in wished.targets or SEEDS:
        code, said = fuzz(target, wished.seconds)
        kept = len(list((PLACE / target / "corpus").iterdir()))
        tried = f"{target}: {executions(said)} inputs tried, {kept} kept"
        print(f"{tried}\n{finding(said)}" if code else tried, flush=True)
        broken |= bool(code)
    return FOUND if broken else 0


if __name__ == "__main__":
    sys.exit(main())
