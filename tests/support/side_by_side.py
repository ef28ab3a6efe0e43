"""Runs test files side by side, in forks of the process that has collected them: `--side-by-side NUMBER`.

Most tests wait, so that more can run at once than a machine has cores. Those that wait for nothing run in one worker
more, which has a low priority: it uses what the others leave of the cores.

Workers that each import and collect all tests, as pytest-xdist's do, cost 6 s of CPU each. Forks share what is imported
and collected, one Azurite, and the processes that fork the hosts (support/forks.py).

A file's tests run in one worker, except that those with each host's gateway of the session may run in another: pytest
puts the tests of such a gateway together.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
from collections import deque
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import pytest

from support import azurite, hosts

#: Seconds in which a worker must end; they only bound a hang.
_ENDING = 60

#: Of the worker whose tests wait for nothing: it gets a tenth of a core that another process wants, too.
_NICENESS = 10

#: What a worker says when it wants the number of a file, and when it ends; otherwise it sends reports.
_NEXT, _ENDED, _DIED = "next", "ended", "died"

_FORK = multiprocessing.get_context("fork")

Files = list[list[pytest.Item]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--side-by-side",
        type=int,
        metavar="NUMBER",
        help="run so many test files at once, and one more of those that wait for nothing",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.side_by_side:
        config.pluginmanager.register(_SideBySide(config.option.side_by_side))


class _SideBySide:
    """The plugin of the process that collects and reports."""

    def __init__(self, number: int) -> None:
        self._number = number

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Start what the tests share while they are collected: that takes 7 s, and one core."""
        if not session.config.option.collectonly and "not system" not in session.config.option.markexpr:
            azurite.begin()
            hosts.begin()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run the files in the workers; they begin in the order of the items."""
        if session.config.option.collectonly or session.testsfailed:
            return None
        files = [list(items) for _, items in itertools.groupby(session.items, key=lambda item: item.path)]
        # Workers make their folders in one, which is there before them.
        session.config._tmp_path_factory.getbasetemp()
        workers: dict[Connection, BaseProcess] = {}
        try:
            for place in range(self._number + 1):
                ours, theirs = _FORK.Pipe()
                arguments = session, files, theirs, [*workers, ours], (place, self._number + 1)
                workers[ours] = _FORK.Process(target=_work, args=arguments)
                workers[ours].start()
                theirs.close()
            _serve(session, workers, files)
        finally:
            _interrupt(workers)
        return True


def _serve(session: pytest.Session, workers: dict[Connection, BaseProcess], files: Files) -> None:
    """Hand out the files and report what becomes of their tests, until all workers have ended.

    The first worker takes those that wait for nothing, which are at the end, as long as there are any.
    """
    plain = next(iter(workers))
    left = deque(range(len(files)))
    running = {}
    while workers:
        for connection in wait(list(workers)):
            try:
                said = connection.recv()
            except (EOFError, ConnectionResetError):
                said = _DIED
            if said == _NEXT:
                take = left.pop if connection is plain else left.popleft
                some = left and (connection is not plain or not _waits(files[left[-1]]))
                running[connection] = take() if some else None
                connection.send(running[connection])
            elif said == _ENDED:
                worker = workers[connection]
                worker.join(_ENDING)
                if worker.exitcode == 0:
                    del workers[connection]
                else:
                    session.shouldfail = f"a process that had run its tests ended with {worker.exitcode}"
            elif said == _DIED:
                file = running.get(connection)
                place = "no file" if file is None else files[file][0].nodeid.partition("::")[0]
                session.shouldfail = f"a process that ran {place} has died"
            else:
                _report(session.config, said)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)


def _waits(items: list[pytest.Item]) -> bool:
    """Whether some of these tests wait for processes or sockets."""
    return any(item.get_closest_marker("system") for item in items)


def _report(config: pytest.Config, reports: list[object]) -> None:
    for data in reports:
        report = config.hook.pytest_report_from_serializable(config=config, data=data)
        config.hook.pytest_runtest_logreport(report=report)


def _interrupt(workers: dict[Connection, BaseProcess]) -> None:
    """End workers that run tests, as Ctrl-C does: they tear down what these have set up."""
    for connection, worker in workers.items():
        connection.close()
        if worker.is_alive():
            os.kill(worker.pid, signal.SIGINT)
    for worker in workers.values():
        worker.join(_ENDING)
        if worker.is_alive():
            worker.kill()
            worker.join()


def _work(
    session: pytest.Session,
    files: Files,
    parent: Connection,
    others: list[Connection],
    part: tuple[int, int],
) -> None:
    """Run the tests of each file that the parent names; then tear down what they share.

    `others` are the parent's own ends: while one of them is open here, a worker does not see that the parent is gone.
    `part` is the worker's place, of how many there are.
    """
    signal.signal(signal.SIGINT, _interrupted)
    for other in others:
        other.close()
    azurite.divide(*part)
    if part[0] == 0:
        os.nice(_NICENESS)
    config = session.config
    reports = _Reports(config)
    _be_silent(config)
    config.pluginmanager.register(reports)
    last = None
    try:
        while (number := _next(parent)) is not None:
            # After a file's last test nothing is needed but what is the session's: the parent has not said what follows.
            for last, following in itertools.pairwise([*files[number], session]):
                config.hook.pytest_runtest_protocol(item=last, nextitem=following)
                parent.send(reports.taken())
        if last is not None:
            ended = pytest.CallInfo.from_call(lambda: session._setupstate.teardown_exact(None), "teardown")
            if ended.excinfo:
                reports.pytest_runtest_logreport(pytest.TestReport.from_item_and_call(last, ended))
                parent.send(reports.taken())
        parent.send(_ENDED)
    except (KeyboardInterrupt, ConnectionError, EOFError):
        sys.exit(int(pytest.ExitCode.INTERRUPTED))
    finally:
        session._setupstate.teardown_exact(None)
        config._ensure_unconfigure()


def _interrupted(_number: int, _frame: object) -> None:
    """Interrupt what runs, and not what ends it: the terminal and the parent may both send the signal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _next(parent: Connection) -> int | None:
    """The number of the file to run next."""
    parent.send(_NEXT)
    return parent.recv()


def _be_silent(config: pytest.Config) -> None:
    """Print nothing, and capture output apart from other workers."""
    config.pluginmanager.unregister(name="terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()


class _Reports:
    """The plugin of a worker: keeps what the parent is to report."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._kept: list[object] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._kept.append(data)

    def taken(self) -> list[object]:
        """What was kept since the last time."""
        taken, self._kept = self._kept, []
        return taken
