"""Which software ran: git revision (``+`` when the tree is changed) or, outside a checkout, the package's version."""

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path


@cache
def revision() -> str:
    root = Path(__file__).resolve().parent.parent
    try:
        head = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        )
        dirty = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=5
        )
        return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
    except (OSError, subprocess.SubprocessError):
        try:
            return metadata.version("tapedeck")
        except metadata.PackageNotFoundError:
            return "unknown"
