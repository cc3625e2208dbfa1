"""A configuration on paper: the same strategies, limits and venues as a run of its own, with every account a paper account."""

import tomllib
from pathlib import Path
from typing import Any

from infra.config import load
from pipelines.toml import to_toml

SUFFIX = "-paper"


def on_paper(path: Path) -> Path:
    """Write it into its run's folder: ``<run>-paper`` beside the other, so that no paper fill is ever on a real account's tape.
    ConfigError as for the configuration itself.
    """
    config = load(path)
    raw: dict[str, Any] = tomllib.loads(path.read_text())
    name = config.run.name.removesuffix(SUFFIX) + SUFFIX
    raw["run"] = {**raw.get("run", {}), "name": name, "home": str(config.home)}
    raw["accounts"] = {account: {**keys, "kind": "paper"} for account, keys in raw.get("accounts", {}).items()}
    made = config.home / "runs" / name / "tapedeck.toml"
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(f"# Written by 'tapedeck up --paper' from {path.name}.\n{to_toml(raw)}")
    return made
