import re
import tomllib
from decimal import Decimal

import pytest

from strategies import StrategyError, load_strategy, moving_average_cross, spread_buyer, two_sided_quoter
from strategies.loading import decode_params, merge_params
from strategies.two_sided_quoter import TwoSidedQuoter

QUOTER = "strategies.two_sided_quoter:TwoSidedQuoter"
GOOD = {"order_qty": "0.010", "max_qty": "0.05"}


def test_parameters_keep_their_digits() -> None:
    assert str(load_strategy(QUOTER, GOOD).params.order_qty) == "0.010"


@pytest.mark.parametrize("module", [spread_buyer, two_sided_quoter, moving_average_cross])
def test_the_example_in_the_docstring_of_a_strategy_loads(module: object) -> None:
    toml = re.search(r"^ *\[strategies.*?(?=^Distances|\Z)", str(module.__doc__), re.DOTALL | re.MULTILINE)
    assert toml is not None
    (example,) = tomllib.loads(toml.group())["strategies"].values()
    strategy = load_strategy(example["class"], example["params"])
    assert set(example["params"]) == set(type(strategy).Params.__struct_fields__)


@pytest.mark.parametrize(
    ("path", "params", "said"),
    [
        (QUOTER, GOOD | {"order_size": 1}, "TwoSidedQuoter: unknown parameter 'order_size'"),
        (QUOTER, GOOD | {"requote_ms": "fast"}, "Expected `int`, got `str` - at `$.requote_ms`"),
        (QUOTER, GOOD | {"order_qty": "much"}, "$.order_qty"),
        (QUOTER, GOOD | {"order_qty": "NaN"}, "TwoSidedQuoter"),
        (QUOTER, {"order_qty": "1"}, "missing required field `max_qty`"),
        (QUOTER, GOOD | {"order_qty": "0"}, "order_qty must be above 0 and at most max_qty"),
        ("strategies.two_sided_quoter", {}, "not a strategy"),
        ("strategies.nowhere:X", {}, "no module named strategies.nowhere"),
        ("strategies.two_sided_quoter:Nothing", {}, "no strategy class Nothing"),
        ("strategies.two_sided_quoter:Decimal", {}, "no strategy class Decimal"),
    ],
)
def test_what_cannot_be_loaded_is_one_line_that_names_the_key(path: str, params: dict[str, object], said: str) -> None:
    with pytest.raises(StrategyError) as error:
        load_strategy(path, params)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_part_of_the_parameters_leaves_the_others() -> None:
    before = decode_params(TwoSidedQuoter, b'{"order_qty": "0.010", "max_qty": "0.05"}')
    after = merge_params(TwoSidedQuoter, before, b'{"max_qty": 0.0700}')
    assert isinstance(after, TwoSidedQuoter.Params)
    assert (str(after.order_qty), after.max_qty) == ("0.010", Decimal("0.07"))


@pytest.mark.parametrize("raw", [b"[]", b"nonsense", b'{"max_qt": 1}', b'{"max_qty": "0.001"}'])
def test_a_part_that_does_not_fit_is_refused(raw: bytes) -> None:
    before = decode_params(TwoSidedQuoter, b'{"order_qty": "0.010", "max_qty": "0.05"}')
    with pytest.raises(StrategyError):
        merge_params(TwoSidedQuoter, before, raw)
