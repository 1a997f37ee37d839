"""The kernel's files become series with units."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ioprof.host.proc_values import (
    cpu_values,
    disk_values,
    memory_values,
    network_values,
    pressure_values,
    whole_device_test,
)

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
DISKSTATS = b"""\
   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
   7       1 loop1 5 0 40 2 0 0 0 0 0 2 2 0 0 0 0 0 0
 254       0 vda 9458 7351 2273202 12707 2934 41281 3595560 15322 3 6624 28329 3187 36 587640 293 94 6
 254       1 vda1 9000 7351 2273202 12707 2934 41281 3595560 15322 0 6624 28329 3187 36 587640 293 94 6
 259       0 nvme0n1 0 0 0 0 0 0 0 0 0 0 0
 259       1 nvme0n1p1 1 0 8 0 0 0 0 0 0 0 0
"""


def test_busy_leaves_out_iowait_and_steal() -> None:
    """A CPU that waits for storage, or that the hypervisor took, did no work here."""
    values = cpu_values(b"cpu  100 10 50 9000 700 5 15 300 0 0\ncpu0 60 0 40 1 2 0 0 3 0 0\nctxt 77\n")
    assert values["cpu_busy_s_total", ""] == pytest.approx((100 + 10 + 50 + 5 + 15) * TICK_S)
    assert values["cpu_iowait_s_total", ""] == pytest.approx(700 * TICK_S)
    assert values["cpu_steal_s_total", ""] == pytest.approx(300 * TICK_S)
    assert values["core_busy_s_total", "cpu0"] == pytest.approx(100 * TICK_S)
    assert values["context_switches_total", ""] == 77


def test_disk_counters_are_in_bytes_and_seconds() -> None:
    """Sectors are 512 bytes whatever the device says, and times are milliseconds."""
    values = disk_values(DISKSTATS, whole_device_test("/nowhere"))
    vda = {metric: value for (metric, device), value in values.items() if device == "vda"}
    assert vda == {
        "disk_reads_total": 9458, "disk_read_bytes_total": 2273202 * 512, "disk_read_s_total": 12.707,
        "disk_writes_total": 2934, "disk_written_bytes_total": 3595560 * 512, "disk_write_s_total": 15.322,
        "disk_in_flight": 3, "disk_io_s_total": 6.624, "disk_queue_s_total": 28.329,
    }  # fmt: skip


def test_partitions_and_unused_loop_devices_are_left_out() -> None:
    """Counting a disk and its partitions would count every request twice."""
    devices = {device for _, device in disk_values(DISKSTATS, whole_device_test("/nowhere"))}
    assert devices == {"loop1", "vda", "nvme0n1"}


def test_sysfs_decides_what_a_whole_device_is(tmp_path: Path) -> None:
    """Where /sys/block exists it knows better than a name, odd names with slashes included."""
    for name in ("vda1", "cciss!c0d0"):
        (tmp_path / name).mkdir()
    is_whole = whole_device_test(str(tmp_path))
    assert [is_whole(name) for name in ("vda1", "cciss/c0d0", "vda")] == [True, True, False]


def test_page_cache_does_not_count_shared_memory() -> None:
    """Batches in /dev/shm are counted as Cached by the kernel but are no file pages."""
    values = memory_values(b"MemFree: 10 kB\nBuffers: 1 kB\nCached: 100 kB\nShmem: 30 kB\nDirty: 2 kB\n")
    assert values["page_cache_bytes", ""] == 71 * 1024
    assert values["dirty_bytes", ""] == 2 * 1024
    assert ("memory_available_bytes", "") not in values


def test_interfaces_appear_once_they_carried_something() -> None:
    """Idle interfaces are no news; the loopback always counts, for servers on this host."""
    header = b"Inter-|   Receive\n face |bytes\n"
    lines = b"    lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n  eth0:7 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n"
    idle = b"  ifb0: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    assert network_values(header + lines + idle) == {
        ("net_rx_bytes_total", "lo"): 0, ("net_tx_bytes_total", "lo"): 0,
        ("net_rx_bytes_total", "eth0"): 7, ("net_tx_bytes_total", "eth0"): 9,
    }  # fmt: skip


def test_pressure_is_the_exact_total_and_not_an_average() -> None:
    """Stall time comes from total= in microseconds."""
    text = b"some avg10=9.00 avg60=1.00 avg300=0.00 total=2500000\nfull avg10=0 avg60=0 avg300=0 total=40\n"
    values = pressure_values("io", text)
    assert values == {("psi_io_some_s_total", ""): 2.5, ("psi_io_full_s_total", ""): pytest.approx(40e-6)}
