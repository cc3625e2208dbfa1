"""Prometheus for one run on this machine: the binary that is on the PATH, with our alerts and the run's targets."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from infra.errors import Problem
from infra.metrics import targets_of

RULES = Path(__file__).parent / "alerts.yml"
READY_S = 30.0


def configuration(run_dir: Path, scrape_s: int) -> str:
    """For Prometheus: YAML, of which JSON is a part."""
    targets = {"files": [str(targets_of(run_dir))], "refresh_interval": "5s"}
    return json.dumps(
        {
            "global": {"scrape_interval": f"{scrape_s}s", "evaluation_interval": f"{scrape_s}s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "tapedeck", "file_sd_configs": [targets]}],
        },
        indent=2,
    )


class Prometheus(AbstractContextManager["Prometheus"]):
    """Runs while in the context; its data stays in the run's folder. Problem when there is none, or it does not start."""

    def __init__(self, run_dir: Path, port: int, scrape_s: int = 5) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.folder = run_dir / "prometheus"
        self._run_dir = run_dir
        self._scrape_s = scrape_s

    def __enter__(self) -> "Prometheus":
        binary = shutil.which("prometheus")
        if binary is None:
            raise Problem("there is no 'prometheus' on the PATH: on Debian, 'apt install prometheus'")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "prometheus.yml"
        config.write_text(configuration(self._run_dir, self._scrape_s))
        with (self.folder / "prometheus.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    binary,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._await_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Problem(f"Prometheus did not start: see {self.folder / 'prometheus.log'}")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples that answer an instant query; Problem when it is none."""
        asked = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return list(json.load(answer)["data"]["result"])
        except urllib.error.HTTPError as error:
            raise Problem(f"{expr}: {json.load(error)['error']}") from None

    def wait(self) -> int:
        return self._process.wait()

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
