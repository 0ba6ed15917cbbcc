"""Encryption of backups, in the format of age: streamed, each chunk authenticated, the end too."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pyrage

from .errors import StackError

MAGIC = b"age-encryption.org/v1"
_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class BackupKey:
    """A secret key of age. `age --decrypt --identity FILE` opens what it sealed."""

    _identity: pyrage.x25519.Identity = field(repr=False)

    @classmethod
    def load(cls, file: Path) -> BackupKey:
        """Read a key file, as `age-keygen` or `create` writes it.

        Raises:
            StackError: it cannot be read, others may read it, or it is no key.
        """
        try:
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                raise StackError(f"others may read the key in {file}", f"run `chmod 600 {file}`")
            with file.open(encoding="ascii") as content:
                lines = [
                    line for line in content.read(_LARGEST).split() if line.startswith("AGE-SECRET-KEY-")
                ]
            if len(lines) != 1:
                raise StackError(f"{file} holds no key", "name a file that `resilience keys backup` wrote")
            return cls(pyrage.x25519.Identity.from_str(lines[0]))
        except (OSError, UnicodeDecodeError, pyrage.IdentityError) as error:
            raise StackError(
                f"the key in {file} cannot be read ({type(error).__name__})",
                "name a file that `resilience keys backup` wrote",
            ) from error

    @classmethod
    def create(cls, file: Path) -> None:
        """Write a new key, for its owner alone.

        Raises:
            StackError: the file is there already, or cannot be written.
        """
        identity = pyrage.x25519.Identity.generate()
        try:
            file.touch(mode=0o600, exist_ok=False)
            file.write_text(f"# public key: {identity.to_public()}\n{identity}\n", encoding="ascii")
        except OSError as error:
            raise StackError(f"{file} cannot be written ({error.strerror})", "name another file") from error

    def seal(self, source: IO[bytes], target: IO[bytes]) -> None:
        """Encrypt a stream.

        Raises:
            StackError: it cannot be read, or written.
        """
        try:
            pyrage.encrypt_io(source, target, [self._identity.to_public()])
        except pyrage.EncryptError as error:
            raise StackError(f"the backup cannot be written ({error})", "look at the disk") from error

    def open(self, source: IO[bytes], target: IO[bytes]) -> None:
        """Decrypt a stream.

        Raises:
            StackError: another key sealed it, or it is damaged or cut off.
            BrokenPipeError: nobody reads what comes out.
        """
        try:
            pyrage.decrypt_io(source, target, [self._identity])
        except pyrage.DecryptError as error:
            raise StackError(
                f"the backup does not open ({str(error).lower()})", "name the key that it was written with"
            ) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise StackError(
                "the backup is damaged or cut off", "take another one: this one is of no use"
            ) from error


def is_sealed(file: Path) -> bool:
    """Say whether a file is encrypted.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as content:
        return content.read(len(MAGIC)) == MAGIC
