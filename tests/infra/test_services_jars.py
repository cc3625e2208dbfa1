"""Kafka's files are exactly the pinned ones, or there is an error."""

from dataclasses import replace
from pathlib import Path

import pytest
import requests
import urllib3

from infra.services import ServiceError, jars
from infra.services.maven import differences, reason


def a_jar(cache: Path, name: str, content: bytes) -> jars.Jar:
    """A file in the cache and its entry of a lock."""
    jar = jars.Jar("group", name, "1.0", "")
    (cache / jar.name).write_bytes(content)
    return replace(jar, sha256=jars.sha256_of(cache / jar.name))


def write_lock(path: Path, *pinned: jars.Jar) -> Path:
    """A lock with these entries."""
    path.write_text("".join(f"{jar} {jar.sha256}\n" for jar in pinned))
    return path


def test_files_with_the_pinned_checksums_become_the_class_path_in_the_order_of_the_lock(tmp_path: Path) -> None:
    b, a = a_jar(tmp_path, "b", b"b"), a_jar(tmp_path, "a", b"a")
    lock = write_lock(tmp_path / "lock", b, a)
    assert jars.class_path(print, lock=lock, cache=tmp_path) == [tmp_path / "b-1.0.jar", tmp_path / "a-1.0.jar"]


def test_a_file_with_another_checksum_is_an_error_that_names_it(tmp_path: Path) -> None:
    jar = a_jar(tmp_path, "a", b"as pinned")
    lock = write_lock(tmp_path / "lock", jar)
    (tmp_path / jar.name).write_bytes(b"altered")
    with pytest.raises(ServiceError, match=r"checksum of .*a-1\.0\.jar"):
        jars.class_path(print, lock=lock, cache=tmp_path)


def test_a_file_that_is_not_pinned_is_not_used(tmp_path: Path) -> None:
    jar = a_jar(tmp_path, "a", b"a")
    a_jar(tmp_path, "stranger", b"s")
    assert jars.class_path(print, lock=write_lock(tmp_path / "lock", jar), cache=tmp_path) == [tmp_path / jar.name]


def test_a_resolved_set_that_differs_from_the_pinned_one_is_told() -> None:
    pinned = jars.Jar("g", "a", "1.0", "11")
    assert differences([pinned], [pinned]) == []
    assert differences([replace(pinned, version="1.1")], [pinned]) == [
        "resolved, not pinned: g:a:1.1 11",
        "pinned, not resolved: g:a:1.0 11",
    ]
    assert len(differences([replace(pinned, sha256="22")], [pinned])) == 2


def test_the_lock_pins_one_kafka_with_a_checksum_for_each_file() -> None:
    pinned = jars.read_lock()
    assert {jar.version for jar in pinned if jar.group == "org.apache.kafka"} == {"4.4.0"}
    assert all(len(jar.sha256) == 64 for jar in pinned)
    assert len({jar.name for jar in pinned}) == len(pinned)


def test_why_a_download_failed_is_told_whole() -> None:
    deep = OSError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate")
    outer = requests.exceptions.SSLError(urllib3.exceptions.MaxRetryError(None, "/x", deep))  # type: ignore[arg-type]
    assert reason(outer) == f"SSLError: {deep}"
    assert reason(RuntimeError("no such artifact")) == "no such artifact"
