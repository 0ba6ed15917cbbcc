"""The layout and the import directions that docs/adr and CONTRIBUTING.md promise."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from resilience_contracts import Topic

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(
    path.parent
    for pattern in ("shared/*", "services/*", "infra/cli")
    for path in ROOT.glob(f"{pattern}/pyproject.toml")
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(root|home|work)/\w")
SERVICES = sorted((ROOT / "services").iterdir())
SOURCES = sorted(path for package in PACKAGES for path in package.glob("src/**/*.py"))
OWN = {
    tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    for package in PACKAGES
}
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.splitlines()


def test_the_top_level_is_the_agreed_one() -> None:
    folders = {name.split("/")[0] for name in TRACKED if "/" in name}

    assert {folder for folder in folders if not folder.startswith(".")} == {
        "docs", "infra", "requirements", "services", "shared", "tests",
    }  # fmt: skip
    assert {path.name for path in SERVICES} == {
        "health-monitor", "degradation-engine", "inventory-api", "flag-service",
    }  # fmt: skip
    assert "docker-compose.yml" in TRACKED


def test_imports_go_one_way() -> None:
    run = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_named_after_the_one_noun_it_holds(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "common", "misc", "base", "manager"}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_is_typed_and_says_what_it_is(package: Path) -> None:
    module = next((package / "src").iterdir())

    assert (module / "py.typed").is_file()
    assert (module / "__init__.py").read_text(encoding="utf-8").startswith('"""')


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_a_service_has_a_dockerfile_and_a_readme_of_one_screen(service: Path) -> None:
    assert (service / "Dockerfile").is_file()
    assert len((service / "README.md").read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.parametrize("package", ["runtime", "delivery"])
def test_plumbing_knows_no_word_of_the_domain(package: str) -> None:
    words = re.compile(
        r"\b(inventory|sku|degradation|resilience_contracts|openai|flag_service)\b", re.IGNORECASE
    )

    found = {
        f"{path.name}: {match[0]}"
        for path in (ROOT / "shared" / package / "src").rglob("*.py")
        for match in words.finditer(path.read_text(encoding="utf-8"))
    }

    assert not found


def test_topics_are_declared_once_and_completely() -> None:
    declared = yaml.safe_load((ROOT / "infra/kafka/topics.yaml").read_text(encoding="utf-8"))

    assert set(declared["topics"]) == {str(topic) for topic in Topic}
    assert declared["dead_letters"]["partitions"] == 1


def test_locks_pin_hashes_and_name_no_registry() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert pinned, path
        assert all("==" in line for line in pinned), path
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "index-url" not in text


def test_everything_that_is_asked_for_is_locked() -> None:
    locked = set(locked_extras())
    sources = [*(ROOT / "requirements").glob("*.in"), *(package / "pyproject.toml" for package in PACKAGES)]
    asked = {
        re.split(r"[^a-z0-9._-]", line.lower(), maxsplit=1)[0].replace("_", "-")
        for path in sources
        for line in requirements_of(path)
    }

    assert asked - locked - OWN == set()


def test_extras_that_packages_ask_for_are_locked_as_extras() -> None:
    locked = locked_extras()

    lacking = {
        (asked.name, extra)
        for distribution in distributions()
        for asked in map(Requirement, distribution.requires or [])
        if (asked.marker is None or asked.marker.evaluate({"extra": ""})) and asked.name in locked
        for extra in asked.extras - locked[asked.name]
    }

    assert not lacking, "pip looks beyond the lock for these"


def locked_extras() -> dict[str, set[str]]:
    text = (ROOT / "requirements/dev.txt").read_text(encoding="utf-8")
    lines = re.findall(r"^([a-z0-9-]+)(?:\[(.*)\])?==", text, re.MULTILINE)
    return {name: set(extras.replace(" ", "").split(",")) for name, extras in lines}


def requirements_of(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        return list(tomllib.loads(text)["project"].get("dependencies", []))
    return [line for line in text.splitlines() if line and line[0] not in "#-."]


def test_links_in_the_documents_lead_somewhere() -> None:
    broken = {
        f"{name}: {target}"
        for name in TRACKED
        if name.endswith(".md")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text(encoding="utf-8"))
        if not (ROOT / name).parent.joinpath(target).exists()
    }

    assert not broken


def test_no_machine_path_is_committed() -> None:
    for name in TRACKED:
        path = ROOT / name
        if path.suffix not in {".gz", ".png"} and path.is_file():
            assert not MACHINE_PATH.search(path.read_text(encoding="utf-8", errors="ignore")), name
