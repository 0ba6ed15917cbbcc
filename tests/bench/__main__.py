"""Runs every benchmark: `make bench`, or `make bench ARGS="guards_breaker"` for those named.

Each module here with a `main() -> int` prints a table, writes JSON to `.stack/bench/` and answers 0 when its
bounds, each relative to a floor measured in the same run, hold. Options after the names are the benchmarks' own:
`make bench ARGS="inventory_kills --rounds 40"`.
"""

from __future__ import annotations

import importlib
import sys
from itertools import takewhile
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; answer how many missed their bounds."""
    found = [
        path.stem for path in sorted(HERE.glob("*.py")) if "\ndef main() -> int" in path.read_text("utf-8")
    ]
    unknown = set(names) - set(found)
    if unknown:
        print(
            f"No benchmark named {', '.join(sorted(unknown))}; there are {', '.join(found)}", file=sys.stderr
        )
        return 2
    failed = []
    for name in names or found:
        print(f"\n== {name}", flush=True)
        if importlib.import_module(f"tests.bench.{name}").main():
            failed.append(name)
    print(f"\nMissed: {', '.join(failed) or 'none'}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(list(takewhile(lambda word: not word.startswith("-"), sys.argv[1:]))))
