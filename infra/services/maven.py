"""Kafka's files from Maven repositories, through jgo, so that its settings for mirrors hold.

`python -m infra.services.maven` (a maintainer's, in `make lock`) resolves the endpoint anew and writes `kafka.lock`;
with `--check` a resolved set that differs from the pinned one is an error.
"""

import os
import ssl
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import requests
from jgo.config import GlobalSettings
from jgo.maven import MavenContext
from jgo.parse import Endpoint

from infra.services.errors import ServiceError
from infra.services.jars import LOCK, Jar, read_lock, sha256_of

# The "!" keeps the dependency management of the logging bridge out: with it, older kafka-clients get mixed in.
ENDPOINT = "org.apache.kafka:kafka_2.13:4.4.0+org.apache.logging.log4j:log4j-slf4j-impl:2.25.5!"
AT_ONCE = 6


def fetch(jars: Iterable[Jar], folder: Path) -> None:
    """Download into a scratch folder first: only a whole and verified file gets its name in `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
            context = _context(Path(scratch))
            list(pool.map(lambda jar: _fetch_one(context, jar, folder), jars))
    except (requests.RequestException, RuntimeError) as error:
        raise ServiceError(
            f"Kafka's files cannot be fetched, check the network or jgo's mirrors: {reason(error)}"
        ) from error
    except OSError as error:
        raise ServiceError(f"Kafka's files cannot be stored in {folder}: {error.strerror}") from error


def reason(error: BaseException) -> str:
    """What is at the bottom of it, whole: a connection's error wraps the one that says why several times."""
    bottom = error
    while inner := bottom.__cause__ or getattr(bottom, "reason", None) or next(_wrapped(bottom), None):
        bottom = inner
    found = " ".join(str(bottom).split()) or type(bottom).__name__
    return found if bottom is error else f"{type(error).__name__}: {found}"


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    return (one for one in error.args if isinstance(one, BaseException))


def resolve(folder: Path) -> list[Jar]:
    """The set that the endpoint resolves to today, downloaded below `folder`; needs the network."""
    context = _context(folder)
    coordinates = [replace(c, scope=c.scope or "compile") for c in Endpoint.parse(ENDPOINT).coordinates]
    inputs, others = context.resolver.resolve([context.create_dependency(c) for c in coordinates])
    artifacts = [d.artifact for d in (*inputs, *others) if d.scope in ("compile", "runtime")]
    return sorted(Jar(a.groupId, a.artifactId, a.version, sha256_of(a.resolve())) for a in artifacts)


def differences(resolved: Iterable[Jar], pinned: Iterable[Jar]) -> list[str]:
    """One line for each file that is in one set and not in the other."""
    now, then = set(resolved), set(pinned)
    return [
        *(f"resolved, not pinned: {jar} {jar.sha256}" for jar in sorted(now - then)),
        *(f"pinned, not resolved: {jar} {jar.sha256}" for jar in sorted(then - now)),
    ]


def main(arguments: list[str]) -> int:
    """Write the lock, or with `--check` compare with it: 1 and the differences when there are any."""
    with tempfile.TemporaryDirectory() as scratch:
        resolved = resolve(Path(scratch))
    found = differences(resolved, read_lock()) if "--check" in arguments else []
    if "--check" not in arguments:
        LOCK.write_text("".join(f"{jar} {jar.sha256}\n" for jar in resolved))
    print("\n".join(found) or f"{LOCK.name} is what the endpoint resolves to: {len(resolved)} files")
    return 1 if found else 0


def _fetch_one(context: MavenContext, jar: Jar, folder: Path) -> None:
    fetched = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    if sha256_of(fetched) != jar.sha256:
        raise ServiceError(f"checksum of {jar} as downloaded is not the pinned one: the mirror has another file")
    os.replace(fetched, folder / jar.name)


def _trust_the_system() -> None:
    """Let `requests` (in jgo) believe the certificates that this machine believes, as pip does, not only its own."""
    paths = ssl.get_default_verify_paths()
    present = [Path(path) for path in (paths.cafile, paths.capath) if path]
    for path in (path for path in present if path.is_file() or any(path.iterdir())):
        os.environ.setdefault("REQUESTS_CA_BUNDLE", str(path))


def _context(folder: Path) -> MavenContext:
    """Files go below `folder`, whatever this user keeps in ~/.m2; the user's mirrors come before the default."""
    _trust_the_system()
    default = MavenContext(repo_cache=folder).remote_repos
    return MavenContext(repo_cache=folder, remote_repos={**GlobalSettings.load().repositories, **default}, timeout=60)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
