"""Kafka's jars from Maven Central, fetched once and remembered as a class path.

Resolution is jgo's, so that no Maven is needed. jgo writes into the shared repository without a lock or a
temporary name, hence the lock here and the check of each archive.
"""

from __future__ import annotations

import fcntl
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resilience_cli.errors import StackError

KAFKA = "org.apache.kafka:kafka_2.13:4.1.0"
MIRROR_MAKER = "org.apache.kafka:connect-mirror:4.1.0"
# Kafka 4.1 brings SLF4J's API of 1.7 and no binding; without one its log is lost.
BINDING = "org.slf4j:slf4j-simple:1.7.36"


def class_path(wanted: str = KAFKA) -> str:
    """Return the class path of Kafka or of its MirrorMaker, fetching what is missing.

    Raises:
        StackError: something is missing and Maven Central cannot be reached.
    """
    remembered = _cache_file(wanted)
    jars = _recall(remembered)
    if jars is None:
        with _lock(remembered):
            jars = _recall(remembered) or _fetch(remembered, wanted)
    return os.pathsep.join(map(str, jars))


def is_fetched() -> bool:
    """Tell whether a start needs no network."""
    return _recall(_cache_file(KAFKA)) is not None


def _cache_file(wanted: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = "kafka-4.1.0.json" if wanted == KAFKA else "mirror-4.1.0.json"
    return home / "retail-resilience" / name


def _recall(remembered: Path) -> list[Path] | None:
    try:
        sizes = dict(json.loads(remembered.read_text(encoding="utf-8")))
        whole = all(Path(jar).stat().st_size == size for jar, size in sizes.items())
    except (OSError, ValueError, TypeError):
        return None
    return [Path(jar) for jar in sizes] if whole and sizes else None


def _fetch(remembered: Path, wanted: str) -> list[Path]:
    try:
        jars = _sound(_resolve(wanted)) or _sound(_resolve(wanted))
    except Exception as error:  # jgo raises RuntimeError, AssertionError and whatever requests does
        raise StackError(
            f"the jars of Kafka cannot be fetched from Maven Central ({type(error).__name__})",
            "connect this machine once, or copy ~/.m2/repository from one that has run `resilience up`",
        ) from error
    if not jars:
        raise StackError(
            "the jars fetched from Maven Central are damaged", "remove ~/.m2/repository and try again"
        )
    remembered.write_text(json.dumps({str(jar): jar.stat().st_size for jar in jars}), encoding="utf-8")
    return jars


def _resolve(coordinate: str) -> list[Path]:
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415  # half a second that a warm start saves

    context = MavenContext(resolver=PythonResolver())
    wanted = [context.create_dependency(each) for each in (coordinate, BINDING)]
    named, brought = context.resolver.resolve(wanted)
    needed = [*named, *(each for each in brought if each.scope in {"compile", "runtime"})]
    return [Path(each.artifact.resolve()) for each in needed]


def _sound(jars: list[Path]) -> list[Path]:
    damaged = [jar for jar in jars if not zipfile.is_zipfile(jar)]
    for jar in damaged:
        jar.unlink()
    return [] if damaged else jars


@contextmanager
def _lock(remembered: Path) -> Iterator[None]:
    remembered.parent.mkdir(parents=True, exist_ok=True)
    with remembered.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
