"""Starts Python programs that need not import anew what they share: each is a fork of this process.

    python fork_server.py DESCRIPTOR FOLDER MODULE...

DESCRIPTOR is a socket; FOLDER is where the modules are that are imported once there is a byte on the socket. A byte for
a program brings four descriptors: the request as JSON, the program's output, its errors, and a pipe that is told its
process id and, when it has ended, its exit code. The process ends when all have closed the socket's other side.

support/forks.py is the other side.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import socket
import sys
from pathlib import Path


def main():
    control = socket.socket(fileno=int(sys.argv[1]))
    folder, *modules = sys.argv[2:]
    if not control.recv(1, socket.MSG_PEEK):
        return
    installed = sys.path[1:]
    sys.path[0] = folder
    gc.disable()
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    request = serve(control)
    if request is not None:
        run(request, installed)


def serve(control):
    """Fork for each request: in the fork the request, here None at the end."""
    running = {}
    while True:
        for ready in select.select([control, *running], [], [])[0]:
            if ready is not control:
                end(ready, *running.pop(ready))
                continue
            byte, descriptors, _, _ = socket.recv_fds(control, 1, 4)
            if not byte:
                return None
            if not descriptors:
                # It only let the modules be imported.
                continue
            asked, output, errors, told = descriptors
            pid = os.fork()
            if pid == 0:
                with os.fdopen(asked, closefd=False) as text:
                    request = json.load(text)
                take(output, errors)
                control.detach()
                return request
            for descriptor in (asked, output, errors):
                os.close(descriptor)
            running[os.pidfd_open(pid)] = pid, told
            tell(told, pid)


def take(output, errors):
    """Make these the descriptors of output and errors, and keep no other."""
    os.dup2(output, 1)
    os.dup2(errors, 2)
    # Not os.closerange: where a process may open a billion files, it may try them all.
    for path in list(Path("/proc/self/fd").iterdir()):
        if int(path.name) > 2:
            # The folder itself is one of them, and closed by now.
            with contextlib.suppress(OSError):
                os.close(int(path.name))


def end(handle, pid, told):
    os.close(handle)
    _, status = os.waitpid(pid, 0)
    tell(told, os.waitstatus_to_exitcode(status))
    os.close(told)


def tell(told, number):
    # Whoever asked may be gone.
    with contextlib.suppress(BrokenPipeError):
        os.write(told, b"%d\n" % number)


def run(request, installed):
    """Run the program as `python ARGUMENTS...` would."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    first, *arguments = request["arguments"]
    added = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if first == "-m":
        sys.argv = arguments
        sys.path[:] = [request["folder"], *added, *installed]
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *arguments]
        sys.path[:] = [str(Path(first).parent), *added, *installed]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main()
