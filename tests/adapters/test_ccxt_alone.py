"""Binance is imported without ccxt's other exchanges, and ccxt as a whole can still be imported beside it."""

import subprocess
import sys

PROBE = """
import sys
from adapters.binance import ccxt_alone
assert not any(name.startswith("ccxt.async_support.kraken") or name == "ccxt" for name in sys.modules), "too much"
import ccxt.async_support as whole
assert whole.kraken().id == "kraken"
assert issubclass(whole.binance, ccxt_alone.binance) and whole.BaseError is ccxt_alone.BaseError, "other classes"
"""


def test_binance_alone_is_loaded_and_it_is_the_same_one_as_in_the_whole() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROBE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
