"""The kernel's text files turned into series: pure functions from file content to values.

Each takes the bytes of one file below /proc and returns values by (metric, device). A metric's suffix is its
unit; counters end in ``_total`` and count since boot. Formats: proc(5), Documentation/admin-guide/iostats.rst
and Documentation/accounting/psi.rst of the kernel. Standard library only: the sampler is light.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from ioprof.host.raw_format import Series

Values = dict[Series, float]

SECTOR_BYTES = 512
"""Unit of /proc/diskstats, whatever the device's own sector size is."""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PARTITION = re.compile(r"^((sd|vd|hd|xvd)[a-z]+\d+|(nvme\d+n\d+|mmcblk\d+|loop\d+|md\d+|nbd\d+)p\d+)$")
_OFTEN_UNUSED = ("loop", "ram", "zram", "nbd", "sr", "fd")

_MEMORY = {
    b"MemAvailable": "memory_available_bytes",
    b"MemFree": "memory_free_bytes",
    b"Dirty": "dirty_bytes",
    b"Writeback": "writeback_bytes",
    b"SReclaimable": "slab_reclaimable_bytes",
    b"Shmem": "shared_memory_bytes",
}
_WANTED_MEMORY = frozenset({*_MEMORY, b"Cached", b"Buffers", b"SwapTotal", b"SwapFree"})
_PER_INTERRUPT = (b"intr", b"softirq")


def cpu_values(stat: bytes) -> Values:
    """Return CPU seconds, tasks and context switches from /proc/stat.

    Busy is user, nice, system and interrupts; neither iowait (an idle CPU with I/O pending) nor steal counts.
    """
    values: Values = {}
    for line in stat.splitlines():
        if line.startswith(_PER_INTERRUPT):
            continue  # hundreds of fields, or thousands: to split them would take longer than all else
        name, *rest = line.split()
        if name == b"cpu":
            values.update(_host_cpu([int(ticks) * _TICK_S for ticks in rest]))
        elif name.startswith(b"cpu"):
            values["core_busy_s_total", name.decode()] = _busy([int(ticks) * _TICK_S for ticks in rest])
        elif name == b"ctxt":
            values["context_switches_total", ""] = float(rest[0])
        elif name in (b"procs_running", b"procs_blocked"):
            values[name.decode(), ""] = float(rest[0])
    return values


def _host_cpu(seconds: list[float]) -> Values:
    return {
        ("cpu_busy_s_total", ""): _busy(seconds),
        ("cpu_user_s_total", ""): seconds[0] + seconds[1],
        ("cpu_system_s_total", ""): seconds[2] + sum(seconds[5:7]),
        ("cpu_iowait_s_total", ""): seconds[4],
        ("cpu_steal_s_total", ""): seconds[7],
    }


def _busy(seconds: list[float]) -> float:
    # user nice system idle iowait irq softirq steal guest guest_nice; guest time is already in user.
    return sum(seconds[0:3]) + sum(seconds[5:7])


def load_values(loadavg: bytes) -> Values:
    """Return the load average over one minute from /proc/loadavg."""
    return {("load_average_1min", ""): float(loadavg.split()[0])}


def memory_values(meminfo: bytes) -> Values:
    """Return memory in bytes from /proc/meminfo.

    ``page_cache_bytes`` holds pages of files and block devices; shared memory (part of Cached) is out.
    """
    kib = {
        key: int(line.split()[1]) for line in meminfo.splitlines() if (key := line.partition(b":")[0]) in _WANTED_MEMORY
    }
    values = {(metric, ""): kib[key] * 1024.0 for key, metric in _MEMORY.items() if key in kib}
    if b"Cached" in kib:
        file_kib = kib[b"Cached"] + kib.get(b"Buffers", 0) - kib.get(b"Shmem", 0)
        values["page_cache_bytes", ""] = max(0, file_kib) * 1024.0
    if b"SwapTotal" in kib:
        values["swap_used_bytes", ""] = (kib[b"SwapTotal"] - kib.get(b"SwapFree", 0)) * 1024.0
    return values


def disk_values(diskstats: bytes, is_whole: Callable[[str], bool]) -> Values:
    """Return counters of whole block devices from /proc/diskstats.

    ``disk_io_s_total`` is time with at least one request in flight; ``disk_queue_s_total`` weighs that time
    by the requests in flight. Loop, RAM and like devices appear once they have been used.

    Args:
        diskstats: the file.
        is_whole: tells a device from a partition, by name.
    """
    values: Values = {}
    for line in diskstats.splitlines():
        fields = line.split()
        name = fields[2].decode()
        if is_whole(name) and (any(int(f) for f in fields[3:11]) or not name.startswith(_OFTEN_UNUSED)):
            values.update(_one_disk(name, [int(field) for field in fields[3:14]]))
    return values


def _one_disk(name: str, counts: list[int]) -> Values:
    return {
        ("disk_reads_total", name): float(counts[0]),
        ("disk_read_bytes_total", name): float(counts[2] * SECTOR_BYTES),
        ("disk_read_s_total", name): counts[3] / 1e3,
        ("disk_writes_total", name): float(counts[4]),
        ("disk_written_bytes_total", name): float(counts[6] * SECTOR_BYTES),
        ("disk_write_s_total", name): counts[7] / 1e3,
        ("disk_in_flight", name): float(counts[8]),
        ("disk_io_s_total", name): counts[9] / 1e3,
        ("disk_queue_s_total", name): counts[10] / 1e3,
    }


def whole_device_test(block: str) -> Callable[[str], bool]:
    """Return a test that tells whole devices from partitions: by /sys/block, else by the usual names.

    Args:
        block: the directory that lists whole devices, /sys/block.
    """
    if not os.path.isdir(block):
        return lambda name: _PARTITION.match(name) is None
    known: dict[str, bool] = {}

    def is_whole(name: str) -> bool:
        if name not in known:
            known[name] = os.path.exists(os.path.join(block, name.replace("/", "!")))
        return known[name]

    return is_whole


def network_values(net_dev: bytes) -> Values:
    """Return bytes per interface from /proc/net/dev; interfaces other than lo appear once they were used."""
    values: Values = {}
    for line in net_dev.splitlines()[2:]:
        raw_name, _, rest = line.partition(b":")
        fields = rest.split()
        name, received, sent = raw_name.strip().decode(), float(fields[0]), float(fields[8])
        if name == "lo" or received or sent:
            values["net_rx_bytes_total", name] = received
            values["net_tx_bytes_total", name] = sent
    return values


def pressure_values(resource: str, pressure: bytes) -> Values:
    """Return the time that some or all tasks stalled for ``resource`` from /proc/pressure/RESOURCE."""
    values: Values = {}
    for line in pressure.splitlines():
        scope, *_, total = line.split()
        values[f"psi_{resource}_{scope.decode()}_s_total", ""] = int(total.partition(b"=")[2]) / 1e6
    return values
