"""Debian's browser, installed when it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

NAME = "chromium"
INSTALL_S = 300
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
"""For a machine on which tests run as root and shared memory is small."""


@cache
def chromium() -> str:
    """Return where the browser is.

    Raises:
        LookupError: there is none, and we are not the user who may install it.
    """
    if not shutil.which(NAME) and os.geteuid() == 0:
        _apt("update", "-qq")
        _apt("install", "-y", "-qq", "--no-install-recommends", NAME)
    found = shutil.which(NAME)
    if not found:
        raise LookupError(f"the browser tests need {NAME}: run `apt-get install {NAME}`")
    return found


def _apt(*words: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *words], env=environment, check=True, capture_output=True, timeout=INSTALL_S)
