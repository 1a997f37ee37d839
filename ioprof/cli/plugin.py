"""The ``--plugin FILE`` of every command that names a workload or a loader."""

from __future__ import annotations

from pathlib import Path

from ioprof.plugins import use_plugin_file


def use_plugins(paths: list[Path]) -> int:
    """Make the workloads and loaders of these files known.

    Raises:
        PluginError: a file does not import, breaks the contract, or has a name that is taken.
    """
    for path in paths:
        use_plugin_file(path)
    return 0
