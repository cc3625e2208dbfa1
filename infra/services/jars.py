"""The files of Apache Kafka, pinned in `kafka.lock` and kept in the user's cache folder.

A line of the lock is `<group>:<artifact>:<version> <sha256>`. Exactly these files are fetched, checked at every start,
and put on the class path: nothing is resolved on a user's machine (how the lock is made: `maven`).
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.services.errors import ServiceError

LOCK = Path(__file__).with_name("kafka.lock")


@dataclass(frozen=True, order=True)
class Jar:
    """One pinned file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name in the cache."""
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """The pinned files in the order of the lock."""
    lines = [line.split() for line in lock.read_text().splitlines() if line.strip()]
    return [_jar(coordinates, sha256) for coordinates, sha256 in lines]


def cache_folder() -> Path:
    """Where the files are kept for every clone of the project."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "tapedeck" / "kafka"


def class_path(progress: Callable[[str], None], *, lock: Path = LOCK, cache: Path | None = None) -> list[Path]:
    """Paths of all pinned files, fetched where absent, each with its checksum verified now."""
    folder = cache_folder() if cache is None else cache
    pinned = read_lock(lock)
    missing = [jar for jar in pinned if not (folder / jar.name).exists()]
    if missing:
        from infra.services import maven  # its import costs more than all that a normal start needs

        progress(f"Kafka: fetching {len(missing)} files into {folder} (once for this user)")
        maven.fetch(missing, folder)
    for jar in pinned:
        if sha256_of(folder / jar.name) != jar.sha256:
            raise ServiceError(
                f"checksum of {folder / jar.name} is not the pinned one: delete that file and start again"
            )
    return [folder / jar.name for jar in pinned]


def sha256_of(path: Path) -> str:
    """The file's digest in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _jar(coordinates: str, sha256: str) -> Jar:
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, sha256)
