"""Worker processes that do not outlive the process they work for."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to SIGKILL this process when the thread that started it ends.

    For workers started by a main thread. Where prctl is absent nothing happens, and the loader's own watchdog
    (torch: five seconds) has to notice.
    """
    parent = os.getppid()
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return
    prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        # The parent died before the request was in place.
        os.kill(os.getpid(), signal.SIGKILL)
