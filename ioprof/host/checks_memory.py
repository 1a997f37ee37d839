"""Checks of memory, shared memory, open files and the page cache."""

from __future__ import annotations

from ioprof.host.check import Check, note, ok, problem, warning
from ioprof.host.evidence import Evidence
from ioprof.host.page_cache_probe import Eviction
from ioprof.units import format_bytes, format_count

_SMALL_SHM_BYTES = 256 << 20
"""Below this (Docker gives 64 MiB) ordinary DataLoader settings die with a bus error."""
_SPARE_FILES = 256
"""Descriptors that the interpreter, libraries and the recorder hold besides batches."""
_SWAP_NOISE_BYTES = 64 << 20
_SMALL_FILE_BYTES = 4096
_SMALL_FILE_SLAB_BYTES = 1900
"""What the kernel holds beside the page of a small cached file on ext4: inode 1.1 KiB, dentry, index node."""


def shared_memory(evidence: Evidence) -> Check:
    """Does /dev/shm hold the batches in flight?"""
    title, free, plan = "shared memory (/dev/shm)", evidence.host["dev_shm_free_bytes"], evidence.context
    if not plan.shares_memory:
        return ok("dev-shm", title, "not used: this loader hands no batches over between processes")
    advice = "make it larger (docker --shm-size 8g, mount -o remount,size=8g /dev/shm), or prefetch less"
    if not isinstance(free, int):
        advice = "mount one (mount -t tmpfs tmpfs /dev/shm), or use --workers 0"
        return problem("dev-shm", title, "there is none: workers cannot hand over tensors", advice)
    if not plan.workers or not plan.prefetch or not plan.batch_bytes:
        finding = f"{format_bytes(free)} free"
        if free < _SMALL_SHM_BYTES:
            return warning("dev-shm", title, f"{finding}; all batches in flight lie there", advice)
        return ok("dev-shm", title, finding)
    need = plan.workers * plan.prefetch * plan.batch_bytes
    product = f"{plan.workers} workers x {plan.prefetch} batches x {format_bytes(plan.batch_bytes)}"
    finding = f"{format_bytes(free)} free; {product} need {format_bytes(need)}"
    if free < need:
        return problem("dev-shm", title, f"{finding}: workers would die with a bus error", advice)
    return warning("dev-shm", title, finding, advice) if free < 2 * need else ok("dev-shm", title, finding)


def open_files(evidence: Evidence) -> Check:
    """Are enough descriptors allowed for the batches in flight?"""
    title, soft, hard = "open files", evidence.host["open_files_soft"], evidence.host["open_files_hard"]
    if not isinstance(soft, int):
        return ok("open-files", title, "unlimited")
    plan = evidence.context
    need = _SPARE_FILES + (plan.workers or 0) * ((plan.prefetch or 2) + 8)
    ceiling = "no hard limit" if hard is None else f"hard limit {format_count(float(hard))}"
    wanted = f"; about {format_count(need)} are needed" if plan.workers else ""
    finding = f"limit {format_count(soft)} ({ceiling}){wanted}"
    advice = "raise it with ulimit -n 65536: each tensor of a batch in flight holds one descriptor"
    if soft < need:
        return problem("open-files", title, finding, advice)
    return note("open-files", title, finding, advice) if soft <= 1024 else ok("open-files", title, finding)


def cacheable_bytes(evidence: Evidence) -> int | None:
    """Return how much the page cache could grow to: available memory, or what the control group allows."""
    available, limit = evidence.host["memory_available_bytes"], evidence.host["cgroup_memory_bytes"]
    known = [value for value in (available, limit) if isinstance(value, int)]
    return min(known, default=None)


def dataset_and_memory(evidence: Evidence) -> Check | None:
    """Would the page cache hold the dataset, so that reads never reach the store?"""
    title, size, room = "memory and dataset", evidence.context.dataset_bytes, cacheable_bytes(evidence)
    if room is None or evidence.store is None:
        # What comes over the network by a client of its own never passes the page cache.
        return None
    files = room / (_SMALL_FILE_BYTES + _SMALL_FILE_SLAB_BYTES) / 1e6
    if size is None:
        finding = f"memory can cache {format_bytes(room)}, or about {files:.1f} million files of 4 KiB"
        advice = "a smaller dataset is read from the store only in cold runs (--cache cold) and the first epoch"
        return note("dataset-memory", title, finding, advice)
    finding = f"the dataset has {format_bytes(size)}; {format_bytes(room)} of memory can cache it"
    if size > 5 * room:
        return ok("dataset-memory", title, finding)
    if size > room:
        return note(
            "dataset-memory",
            title,
            f"{finding}: up to {100 * room / size:.0f} % of reads may be served by it",
        )
    tried = evidence.eviction
    if evidence.context.evicts and isinstance(tried, Eviction) and not tried.resident_after:
        return ok("dataset-memory", title, f"{finding}, and --cache cold evicts it before each epoch")
    advice = f"use --cache cold, or a dataset of {format_bytes(5 * room)} and more (5 x memory)"
    return warning("dataset-memory", title, f"{finding}: after one epoch no read reaches the store", advice)


def swap(evidence: Evidence) -> Check:
    """Is memory swapped out?"""
    used = evidence.host["swap_used_bytes"]
    if isinstance(used, int) and used > _SWAP_NOISE_BYTES:
        advice = "page faults will look like slow code; free memory, or sudo swapoff -a while measuring"
        return warning("swap", "swap", f"{format_bytes(used)} in use", advice)
    finding = "unknown" if used is None else f"{format_bytes(float(used))} in use"
    return ok("swap", "swap", finding)


def pressure(evidence: Evidence) -> Check:
    """Does the kernel tell who stalls?"""
    if evidence.facilities.pressure:
        return ok("psi", "pressure stall information", "present")
    advice = "boot with psi=1 to see stalls for CPU, I/O and memory"
    return note("psi", "pressure stall information", "absent", advice)


def schedstat(evidence: Evidence) -> Check:
    """Does the kernel tell on-CPU from waiting for a CPU?"""
    title = "scheduler accounting"
    if evidence.facilities.schedstat:
        return ok("schedstat", title, "per-thread run-queue time is readable")
    finding = "no /proc/PID/schedstat: 'on CPU', 'waiting for a CPU' and 'blocked' cannot be told apart"
    return note("schedstat", title, finding, "use a kernel built with CONFIG_SCHED_INFO")


def process_io(evidence: Evidence) -> Check:
    """Does the kernel count bytes per process?"""
    if evidence.facilities.process_io:
        return ok("process-io", "I/O accounting", "/proc/PID/io is readable")
    finding = "/proc/PID/io is not readable: bytes the kernel moved cannot be compared with bytes traced"
    advice = "use a kernel with CONFIG_TASK_IO_ACCOUNTING; in a container allow ptrace-level reads of /proc"
    return note("process-io", "I/O accounting", finding, advice)


def delay_accounting(evidence: Evidence) -> Check:
    """Does the kernel count block-I/O waits per process?"""
    title, is_on = "delay accounting", evidence.facilities.delay_accounting
    if is_on:
        return ok("delay-accounting", title, "on")
    finding = "off" if is_on is not None else "the kernel has no kernel.task_delayacct"
    advice = "optional: sudo sysctl kernel.task_delayacct=1 splits 'blocked' into disk waits and the rest"
    return note("delay-accounting", title, finding, advice if is_on is not None else "")
