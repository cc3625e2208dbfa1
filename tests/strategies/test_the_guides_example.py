"""The example in docs/strategies.md, with its own tests, as a reader would copy it."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "strategies.md"
README = Path(__file__).parents[2] / "README.md"


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_guides_example_passes_its_own_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    example, its_tests = blocks(GUIDE)[:2]
    module = ModuleType("breakout")
    monkeypatch.setitem(sys.modules, "breakout", module)
    exec(compile(example, "breakout.py", "exec"), module.__dict__)
    tests: dict[str, object] = {}
    exec(compile(its_tests, "test_breakout.py", "exec"), tests)
    run = [test() for name, test in tests.items() if name.startswith("test_") and callable(test)]
    assert len(run) == 2


def test_the_readme_shows_the_same_class() -> None:
    shown = blocks(README)[0].strip()
    assert shown in blocks(GUIDE)[0]
