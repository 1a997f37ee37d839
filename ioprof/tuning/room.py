"""What this host has free for a loader, read from the kernel."""

from __future__ import annotations

import os

from ioprof.host.facts import host_facts
from ioprof.tuning.limits import Room
from ioprof.units import format_count


def room() -> Room:
    """Return what is free now."""
    facts = host_facts()
    affinity, quota = facts["affinity_cores"], facts["cgroup_cpu_cores"]
    cores = float(affinity) if isinstance(affinity, int) else 1.0
    told = f"{format_count(cores)} CPU{'s' if cores != 1 else ''} by affinity"
    if isinstance(quota, float) and quota < cores:
        cores, told = quota, f"{format_count(quota)} CPUs by the control group's quota"
    available, limit = facts["memory_available_bytes"], facts["cgroup_memory_bytes"]
    memory = [value for value in (available, limit) if isinstance(value, int)]
    shm, files = facts["dev_shm_free_bytes"], facts["open_files_soft"]
    return Room(
        cores=cores,
        cores_told=told,
        memory_bytes=min(memory, default=None),
        shm_bytes=shm if isinstance(shm, int) else None,
        open_files=files if isinstance(files, int) else None,
        open_files_now=len(os.listdir("/proc/self/fd")),
    )
