"""Worker processes that do not outlive the process they work for."""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading

_PR_SET_PDEATHSIG = 1


def become_worker() -> None:
    """Leave Ctrl-C to the process that this one works for, and die with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()


def die_with_parent() -> None:
    """Have this process killed when the thread that started it ends, or the process that had a fork server start it.

    For workers started by a main thread. The kernel sees to it. Where prctl is absent nothing happens, and the loader's
    own watchdog (torch: five seconds) has to notice.
    """
    _die_behind_fork_server()
    parent = os.getppid()
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return
    prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        # The parent died before the request was in place.
        os.kill(os.getpid(), signal.SIGKILL)


def _die_behind_fork_server() -> None:
    """Watch the process that wanted this one, where another has forked it: neither the kernel nor torch looks there."""
    wanted_by = multiprocessing.parent_process()
    if wanted_by is None or wanted_by.pid == os.getppid():
        return
    sentinel = wanted_by.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="ioprof-parent", daemon=True).start()
