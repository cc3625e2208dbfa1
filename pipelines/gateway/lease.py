"""Who may trade an account: a lease on the tape, renewed in time, or released on a clean stop.

A new gateway waits until the last lease has run out, and then for the venue's receive window: a request that the old
one sent is worth nothing after that, because it is signed with its write-ahead's time. Whoever claims reads back what
else was claimed: the highest epoch stays. A lease that has run out is claimed again the same way, never just
prolonged: somebody else may have it.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable

from infra import kafka
from infra.errors import Problem
from pipelines.gateway.tape import Tape
from topics import wire
from topics.catalog import GATEWAY_LEASES
from topics.record import Account, InstrumentId
from topics.system import GatewayLease

NS = 1_000_000_000
MARGIN_NS = NS // 5


class LeaseLost(Problem):
    """Another gateway has the account."""


def last_leases(conf: kafka.KafkaConf, prefix: str, account: Account) -> dict[int, GatewayLease]:
    """The last word of every epoch that is still on the tape."""
    found: dict[int, GatewayLease] = {}
    for message in kafka.read_all(conf, kafka.physical(prefix, GATEWAY_LEASES)):
        for lease in wire.decode(message.value() or b"[]", GATEWAY_LEASES.types):
            if lease.account == account:
                found[lease.epoch] = lease
    return found


def reconciled_by(leases: dict[int, GatewayLease]) -> dict[InstrumentId, int]:
    """What the newest holder that had reconciled anything had reconciled. Not the best of all: facts that an older one
    wrote late are passed over.
    """
    newest = max((epoch for epoch, lease in leases.items() if lease.reconciled), default=None)
    return {} if newest is None else dict(leases[newest].reconciled)


def free_at(leases: dict[int, GatewayLease], window_ns: int) -> int:
    """When nothing that these leases allowed can still take effect."""
    return max((lease.expires_ns + window_ns + MARGIN_NS for lease in leases.values() if not lease.released), default=0)


async def await_free(
    conf: kafka.KafkaConf,
    prefix: str,
    account: Account,
    window_ns: int,
    stop: asyncio.Event,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Return once the account is free. LeaseLost when its holder is alive: it renewed while we waited."""
    first = await asyncio.to_thread(last_leases, conf, prefix, account)
    renewals, told = 0, False
    while not stop.is_set():
        leases = await asyncio.to_thread(last_leases, conf, prefix, account)
        left = free_at(leases, window_ns) - time.time_ns()
        if left <= 0:
            return
        holder = max(leases.values(), key=lambda lease: lease.expires_ns)
        known = first.get(holder.epoch)
        if known is None or holder.expires_ns > known.expires_ns:
            renewals, first = renewals + 1, leases
        if renewals >= 2:
            raise LeaseLost(f"another gateway trades {account} (process {holder.pid} on {holder.host}): stop it first")
        if not told:
            say(f"waiting up to {left / NS:.1f} s: the last gateway of {account} did not release its lease")
            told = True
        await pause(stop, min(left / NS, 0.5))


async def pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        pass


class Lease:
    """Held from ``claim`` on, as long as ``renew`` is acknowledged in time. ``held`` is asked before every
    write-ahead. ``reconciled`` is inherited with the claim and handed on with every renewal.
    """

    def __init__(
        self,
        tape: Tape,
        conf: kafka.KafkaConf,
        prefix: str,
        account: Account,
        epoch: int,
        lease_s: float,
        window_ns: int,
    ) -> None:
        self.every_s = lease_s / 3
        self._tape, self._conf, self._prefix, self._account, self._epoch = tape, conf, prefix, account, epoch
        self._lease_ns = int(lease_s * NS)
        self._window_ns = window_ns
        self._expires_ns = 0
        self._fenced_by: GatewayLease | None = None
        self.reconciled: dict[InstrumentId, int] = {}

    @property
    def held(self) -> bool:
        return self._fenced_by is None and time.time_ns() < self._expires_ns

    @property
    def fenced(self) -> bool:
        """A newer gateway has the account: from here on nothing is sent, not even a cancel."""
        return self._fenced_by is not None

    def observe(self, lease: GatewayLease) -> None:
        """A lease seen on the tape: a higher epoch fences this one."""
        if lease.account == self._account and lease.epoch > self._epoch and not lease.released:
            self._fenced_by = lease

    async def claim(self, stop: asyncio.Event) -> None:
        """Write the lease, read back, wait for what lower epochs may still do. LeaseLost when a higher one claims."""
        if not self.reconciled:
            before = await asyncio.to_thread(last_leases, self._conf, self._prefix, self._account)
            self.reconciled.update(reconciled_by(before))
        while not stop.is_set():
            until = await self._write()
            leases = await asyncio.to_thread(last_leases, self._conf, self._prefix, self._account)
            for lease in leases.values():
                self.observe(lease)
            self._check()
            others = {epoch: lease for epoch, lease in leases.items() if epoch != self._epoch}
            left = free_at(others, self._window_ns) - time.time_ns()
            if left <= 0:
                self._expires_ns = until
                return
            await pause(stop, min(left / NS, self.every_s))

    async def keep(self, stop: asyncio.Event) -> None:
        """Renew until stopped. LeaseLost when fenced."""
        while not stop.is_set():
            await pause(stop, self.every_s)
            self._check()
            if self.held:
                until = await self._write()
                if time.time_ns() < self._expires_ns:
                    self._expires_ns = until
            else:
                await self.claim(stop)

    async def release(self) -> None:
        if self._fenced_by is None:
            self._expires_ns = 0
            await self._tape.write([self._lease(time.time_ns(), released=True)])

    def _check(self) -> None:
        if self._fenced_by is not None:
            raise LeaseLost(f"fenced: a newer gateway (epoch {self._fenced_by.epoch}) trades {self._account}")

    async def _write(self) -> int:
        """Durably; the time until which it holds, counted from before the write."""
        lease = self._lease(time.time_ns())
        await self._tape.write([lease])
        return lease.expires_ns

    def _lease(self, now_ns: int, *, released: bool = False) -> GatewayLease:
        return GatewayLease(
            account=self._account,
            epoch=self._epoch,
            expires_ns=now_ns if released else now_ns + self._lease_ns,
            released=released,
            pid=os.getpid(),
            host=socket.gethostname(),
            reconciled=dict(self.reconciled),
            ts_init=now_ns,
        )
