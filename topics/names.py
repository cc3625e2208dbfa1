"""What a name that somebody gives may look like: it stands in keys, logs, file names and messages to a venue."""

import re

NAME = re.compile(r"[ -~]{1,64}")
IDENT = re.compile(r"[ -~]{1,128}")
"""Of orders, commands and controls; the longest of our own are a strategy's name and some 40 characters."""

DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
"""ASCII digits only: ``Decimal`` would also read those of other scripts, underscores and blanks."""


def is_strategy_name(name: str) -> bool:
    """Printable ASCII, 64 characters at most, without the separators of keys and workers' names."""
    return NAME.fullmatch(name) is not None and not {"|", "/"} & set(name)


def is_ident(ident: str) -> bool:
    """Printable ASCII, 128 characters at most."""
    return IDENT.fullmatch(ident) is not None


def is_plain_decimal(text: str) -> bool:
    return DECIMAL.fullmatch(text) is not None
