"""What the kernel says of the file system and the device behind a local store."""

from __future__ import annotations

import os
from pathlib import Path

from ioprof.host.mounts import Mount, mount_of, mounts
from ioprof.host.text import Scalar, chosen, read_int, read_text

_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
_NETWORK = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "gpfs", "beegfs", "afs", "coda",
        "glusterfs", "pvfs2", "orangefs", "wekafs", "panfs", "ocfs2", "gfs2", "9p", "quobyte",
        "vast", "juicefs",
    }
)  # fmt: skip
_NETWORK_FUSE = (
    "sshfs", "s3fs", "gcsfuse", "goofys", "rclone", "juicefs", "mountpoint-s3", "mount-s3", "glusterfs",
    "ceph", "blobfuse", "alluxio", "seaweedfs", "dfs", "moosefs", "lizardfs", "quobyte",
)  # fmt: skip
_STACKED = ("overlay", "aufs")
_MEMORY_DEVICES = ("ram", "zram")
"""Not pmem: what persists is storage, however fast."""
_NETWORK_DEVICES = ("nbd", "rbd", "drbd")


def store_facts(path: str | Path, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> dict[str, Scalar]:
    """Return facts about the file system that holds ``path``, which need not exist yet.

    Sizes are in bytes, ``read_ahead_kb`` in KiB as the kernel names it. None means not known; the reason
    stands in ``unknown``. ``is_network`` is None for FUSE file systems whose server cannot be told.
    """
    existing = nearest_existing(Path(path))
    mount = mount_of(os.path.realpath(existing), mounts(proc))
    block = _block_device(mount, sys) if mount else None
    disk = _whole_disk(block) if block else None
    filesystem = mount.filesystem if mount else None
    facts: dict[str, Scalar] = {
        "path": os.path.realpath(path),
        "filesystem": filesystem,
        "device": mount.source if mount else None,
        "mount_point": mount.mount_point if mount else None,
        "mount_options": mount.options if mount else None,
        "is_memory": _is_memory(filesystem, disk, proc),
        "is_network": _is_network(filesystem, disk),
        "is_overlay": None if filesystem is None else filesystem in _STACKED,
        **_space(existing),
        **_device_facts(mount, disk, sys),
    }
    if facts["is_overlay"] and mount is not None:
        facts |= _below(mount, proc)
    missing = [name for name, value in facts.items() if value is None]
    reason = "not in the mount table" if mount is None else f"{filesystem} on {mount.source} does not tell"
    facts["unknown"] = f"{', '.join(missing)}: {reason}" if missing else None
    return facts


def _below(mount: Mount, proc: Path) -> dict[str, Scalar]:
    """Return what lies below an overlay; None where its layers are not visible here, as inside a container."""
    options = dict(option.partition("=")[::2] for option in mount.options.split(","))
    layers = [options.get("upperdir", ""), *options.get("lowerdir", "").split(":")]
    table = mounts(proc)
    visible = all(layer.startswith("/") and os.path.isdir(layer) for layer in layers if layer)
    below = [mount_of(os.path.realpath(layer), table) for layer in layers if layer] if visible else []
    found = [one for one in below if one is not None]
    return {
        "below_filesystems": " ".join(dict.fromkeys(one.filesystem for one in found)) or None,
        "below_mount_options": ",".join(one.options for one in found) or None,
    }


def nearest_existing(path: Path) -> Path:
    """Return the path, or the closest directory above it that exists."""
    absolute = Path(os.path.abspath(path))
    return next((one for one in (absolute, *absolute.parents) if os.path.exists(one)), Path("/"))


def _space(existing: Path) -> dict[str, Scalar]:
    try:
        space = os.statvfs(existing)
    except OSError:
        return {"total_bytes": None, "free_bytes": None, "free_inodes": None}
    return {
        "total_bytes": space.f_blocks * space.f_frsize,
        "free_bytes": space.f_bavail * space.f_frsize,
        # File systems that make inodes as needed report none at all.
        "free_inodes": space.f_favail if space.f_files else None,
    }


def _device_facts(mount: Mount | None, disk: Path | None, sys: Path) -> dict[str, Scalar]:
    bdi = sys / "class/bdi" / mount.device_number / "read_ahead_kb" if mount else None
    read_ahead = read_int(bdi) if bdi else None
    if disk is None:
        return {
            "disk": None,
            "model": None,
            "rotational": None,
            "scheduler": None,
            "read_ahead_kb": read_ahead,
        }
    rotational = read_int(disk / "queue/rotational")
    queue_read_ahead = read_int(disk / "queue/read_ahead_kb")
    return {
        "disk": disk.name,
        "model": read_text(disk / "device/model"),
        "rotational": None if rotational is None else bool(rotational),
        "scheduler": chosen(read_text(disk / "queue/scheduler")),
        "read_ahead_kb": read_ahead if queue_read_ahead is None else queue_read_ahead,
    }


def _block_device(mount: Mount, sys: Path) -> Path | None:
    """Return the directory of the device in sysfs: by number, else (btrfs, ZFS) by the name of the source."""
    for candidate in (sys / "dev/block" / mount.device_number, sys / "class/block" / Path(mount.source).name):
        if mount.source.startswith("/dev/") and candidate.exists():
            return Path(os.path.realpath(candidate))
    return None


def _whole_disk(block: Path) -> Path:
    return block.parent if (block / "partition").exists() else block


def _is_memory(filesystem: str | None, disk: Path | None, proc: Path) -> bool | None:
    if filesystem is None:
        return None
    backing = read_text(disk / "loop/backing_file") if disk else None
    if backing:
        below = mount_of(backing, mounts(proc))
        return below is not None and below.filesystem in _MEMORY
    return filesystem in _MEMORY or (disk is not None and disk.name.startswith(_MEMORY_DEVICES))


def _is_network(filesystem: str | None, disk: Path | None) -> bool | None:
    if filesystem is None:
        return None
    if filesystem.startswith("fuse"):
        kind = filesystem.partition(".")[2]
        return True if kind.startswith(_NETWORK_FUSE) else (False if filesystem == "fuseblk" else None)
    return filesystem in _NETWORK or (disk is not None and _is_remote_disk(disk))


def _is_remote_disk(disk: Path) -> bool:
    """NVMe over fabrics names its transport, iSCSI hangs below a session, others say it in their name."""
    transport = read_text(disk / "device/transport")
    is_fabric = transport is not None and transport not in ("pcie", "loop")
    return is_fabric or "/session" in str(disk) or disk.name.startswith(_NETWORK_DEVICES)
