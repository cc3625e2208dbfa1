"""Balances per account and asset, free and locked; money only moves, so the sum over all accounts never changes.

An unlimited account (the generated or recorded market) is never refused and may go negative: it is the other side. A loss on
contracts may take what another has free below nothing; it opens nothing more then.
"""

from __future__ import annotations

import msgspec


class Balance(msgspec.Struct):
    free: int = 0
    locked: int = 0


class Wallets:
    """Every change marks (account, asset) as touched until `take_touched`."""

    def __init__(self) -> None:
        self._balances: dict[str, dict[str, Balance]] = {}
        self._unlimited: set[str] = set()
        self._touched: dict[tuple[str, str], None] = {}

    def open(self, account: str, *, unlimited: bool = False) -> None:
        self._balances[account] = {}
        if unlimited:
            self._unlimited.add(account)

    def accounts(self) -> list[str]:
        return list(self._balances)

    def of(self, account: str) -> dict[str, Balance]:
        return self._balances[account]

    def balance(self, account: str, asset: str) -> Balance:
        assets = self._balances[account]
        found = assets.get(asset)
        if found is None:
            found = assets[asset] = Balance()
        return found

    def is_unlimited(self, account: str) -> bool:
        return account in self._unlimited

    def affords(self, account: str, asset: str, amount: int) -> bool:
        return account in self._unlimited or self.balance(account, asset).free >= amount

    def credit(self, account: str, asset: str, amount: int) -> None:
        self._touch(account, asset).free += amount

    def lock(self, account: str, asset: str, amount: int) -> None:
        balance = self._touch(account, asset)
        balance.free -= amount
        balance.locked += amount
        if balance.free < 0:
            self._check_free(account, asset, balance)

    def shift(self, account: str, asset: str, amount: int) -> None:
        """Lock so much more (or, negative, less), also of what is not there: a loss may have taken it."""
        if amount == 0:
            return
        balance = self._touch(account, asset)
        balance.free -= amount
        balance.locked += amount
        self._check(account, asset, balance)

    def unlock(self, account: str, asset: str, amount: int) -> None:
        if amount == 0:
            return
        balance = self._touch(account, asset)
        balance.locked -= amount
        balance.free += amount
        self._check(account, asset, balance)

    def spend_locked(self, account: str, asset: str, amount: int) -> None:
        balance = self._touch(account, asset)
        balance.locked -= amount
        self._check(account, asset, balance)

    def take_touched(self) -> list[tuple[str, str]]:
        touched = list(self._touched)
        self._touched.clear()
        return touched

    def _touch(self, account: str, asset: str) -> Balance:
        self._touched[account, asset] = None
        return self.balance(account, asset)

    def _check(self, account: str, asset: str, balance: Balance) -> None:
        if balance.locked < 0:
            raise AssertionError(f"{account} {asset} would go negative: {balance}")

    def _check_free(self, account: str, asset: str, balance: Balance) -> None:
        if account not in self._unlimited:
            raise AssertionError(f"{account} {asset} would go negative: {balance}")
