"""Azurite, Microsoft's emulator of Azure Storage: its Table service, in memory, as a process of its own."""

import os
import signal
import subprocess
from dataclasses import dataclass
from typing import Self

import pytest

from simulator.ports import free_port
from support.processes import ROOT, listens_on

COMMAND = ROOT / ".azurite" / "azurite-table"
ACCOUNT = "devstoreaccount1"
#: Azurite's well-known key; Microsoft documents it.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


#: Accounts of the Azurite that tests share, over all processes: one for each that wants an empty one.
_ACCOUNTS = 400


def connection_string(port: int, account: str = ACCOUNT) -> str:
    return (
        f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={KEY};"
        f"TableEndpoint=http://127.0.0.1:{port}/{account};"
    )


def require_azurite() -> None:
    """Skip where Azurite is not installed; where CI runs, that is a failure."""
    if COMMAND.exists():
        return
    message = "Azurite is not installed: run `make test`, or scripts/azurite.sh. NOT TESTED: Table Storage."
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message)
    pytest.skip(message)


class Azurite:
    """One Table service on a port that stays the same when it is started again, with nothing in it."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._accounts = [ACCOUNT, *(f"account{number}" for number in range(_ACCOUNTS))]
        self._process: subprocess.Popen[bytes] | None = None
        self.starter = os.getpid()

    @property
    def connection_string(self) -> str:
        return connection_string(self.port)

    def start(self) -> "Azurite":
        self.begin()
        if not listens_on(self._process, self.port):
            self.stop()
            pytest.fail("Azurite does not start")
        return self

    def begin(self) -> None:
        """Start it without waiting for it."""
        self._process = subprocess.Popen(
            [
                COMMAND,
                *("--tableHost", "127.0.0.1", "--tablePort", str(self.port)),
                *("--inMemoryPersistence", "--silent", "--disableTelemetry"),
                *self._options,
            ],
            env=os.environ | {"AZURITE_ACCOUNTS": ";".join(f"{name}:{KEY}" for name in self._accounts)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        if self._process is not None:
            # It ends at once on SIGINT only; nothing in memory is worth waiting for.
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error) -> None:
        self.stop()

    def keep(self, place: int, number: int) -> None:
        """Of the accounts leave those to others that are not this process's, the one at `place` of a `number`."""
        self._accounts = self._accounts[place::number]

    def empty_account(self) -> "Account":
        """An account that nobody has used."""
        return Account(self.port, self._accounts.pop())


@dataclass(frozen=True)
class Account:
    """An account of an Azurite that runs."""

    port: int
    name: str

    @property
    def connection_string(self) -> str:
        return self.at(self.port)

    def at(self, port: int) -> str:
        """Its connection string by way of another port."""
        return connection_string(port, self.name)


_shared: list[Azurite] = []


def begin() -> None:
    """Start the Azurite that the processes share which this one is forked into."""
    if COMMAND.exists():
        _shared.append(Azurite())
        _shared[0].begin()


def divide(place: int, number: int) -> None:
    """Use accounts of that Azurite which none of the other processes uses: this is the one at `place` of a `number`."""
    for azurite in _shared:
        azurite.keep(place, number)


def empty_account() -> Account:
    """An account with nothing in it, for tests that need no Azurite of their own: starting one takes seconds of CPU."""
    require_azurite()
    if not _shared:
        _shared.append(Azurite().start())
    elif not listens_on(None, _shared[0].port):
        pytest.fail("Azurite does not start")
    return _shared[0].empty_account()


def close() -> None:
    """End the Azurite that tests share, but not that of the process that this one is a fork of."""
    while _shared and _shared[0].starter == os.getpid():
        _shared.pop().stop()
