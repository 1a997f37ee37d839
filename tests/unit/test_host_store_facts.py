"""Facts about the file system and device behind a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioprof.host.mounts import Mount, mount_of, mounts
from ioprof.host.store_facts import store_facts

MOUNTINFO = r"""27 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw,discard
40 27 0:50 / /data rw - nfs4 filer:/export rw,vers=4.2,rsize=1048576
41 27 0:51 / /data/with\040blank\134and\011tab ro shared:7 master:2 - fuse.sshfs host:/x rw
42 27 0:52 / /data rw - xfs /dev/vdb rw
broken line
"""


def fake_kernel(root: Path, *, filesystem: str = "ext4", source: str = "/dev/vda1", number: str = "254:1") -> Path:
    """Make a mount table whose root is the file system in question."""
    (root / "self").mkdir(parents=True)
    (root / "self" / "mountinfo").write_text(f"27 1 {number} / / rw,noatime - {filesystem} {source} rw\n")
    return root


def add_disk(sys_root: Path, *, name: str, number: str, files: dict[str, str], partition: bool = False) -> None:
    """Put a disk, and perhaps its partition, into a tree that looks like /sys."""
    disk = sys_root / "devices" / name
    for file, content in files.items():
        (disk / file).parent.mkdir(parents=True, exist_ok=True)
        (disk / file).write_text(content)
    target = disk / f"{name}1" if partition else disk
    target.mkdir(parents=True, exist_ok=True)
    if partition:
        (target / "partition").write_text("1\n")
    (sys_root / "dev/block").mkdir(parents=True)
    (sys_root / "dev/block" / number).symlink_to(target)


def test_the_mount_table_is_parsed_with_its_escapes(tmp_path: Path) -> None:
    """Blanks, tabs and backslashes in mount points come back; lines that make no sense are passed over."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(MOUNTINFO)
    table = mounts(tmp_path)
    assert [mount.mount_point for mount in table] == ["/", "/data", "/data/with blank\\and\ttab", "/data"]
    assert table[1].options == "rw,vers=4.2,rsize=1048576"
    assert table[2].filesystem == "fuse.sshfs"


@pytest.mark.parametrize(
    ("path", "filesystem"),
    [
        ("/data/set", "xfs"),
        ("/database", "ext4"),
        ("/data/with blank\\and\ttab/x", "fuse.sshfs"),
        ("/", "ext4"),
    ],
)
def test_the_longest_and_latest_mount_holds_a_path(tmp_path: Path, path: str, filesystem: str) -> None:
    """A mount on top hides the one below; a common prefix of names is no parent."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(MOUNTINFO)
    mount = mount_of(path, mounts(tmp_path))
    assert isinstance(mount, Mount) and mount.filesystem == filesystem


def test_a_partition_is_told_by_its_whole_disk(tmp_path: Path) -> None:
    """Queue settings and the model belong to the disk, not to the partition that is mounted."""
    proc, sys_root = fake_kernel(tmp_path / "proc"), tmp_path / "sys"
    files = {
        "queue/rotational": "0\n", "queue/read_ahead_kb": "128\n",
        "queue/scheduler": "none [mq-deadline] kyber\n", "device/model": "FAST 9000\n",
    }  # fmt: skip
    add_disk(sys_root, name="vda", number="254:1", files=files, partition=True)
    facts = store_facts(tmp_path / "not" / "yet", proc, sys_root)
    assert facts["disk"] == "vda"
    assert facts["rotational"] is False
    assert (facts["read_ahead_kb"], facts["scheduler"], facts["model"]) == (128, "mq-deadline", "FAST 9000")
    assert (facts["filesystem"], facts["mount_options"]) == ("ext4", "rw,noatime")
    assert facts["unknown"] is None
    assert isinstance(facts["free_bytes"], int) and facts["free_bytes"] > 0


@pytest.mark.parametrize(
    ("filesystem", "is_memory", "is_network"),
    [
        ("ext4", False, False),
        ("tmpfs", True, False),
        ("nfs4", False, True),
        ("lustre", False, True),
        ("fuse.gcsfuse", False, True),
        ("fuse.something", False, None),
    ],
)
def test_the_kind_of_file_system_is_told(
    tmp_path: Path, filesystem: str, is_memory: bool, is_network: bool | None
) -> None:
    """Memory and network are recognised; what is behind an unknown FUSE process is not known."""
    proc = fake_kernel(tmp_path / "proc", filesystem=filesystem, source="somewhere", number="0:9")
    facts = store_facts(tmp_path, proc, tmp_path / "sys")
    assert (facts["is_memory"], facts["is_network"]) == (is_memory, is_network)


def test_an_ordinary_file_system_on_a_memory_device_is_memory(tmp_path: Path) -> None:
    """ext4 on a loop device whose file lies on tmpfs measures memory, not a disk."""
    proc, sys_root = fake_kernel(tmp_path / "proc", source="/dev/loop3", number="7:3"), tmp_path / "sys"
    with (proc / "self/mountinfo").open("a") as table:
        table.write("28 1 0:9 / /ramdisk rw - tmpfs tmpfs rw\n")
    add_disk(sys_root, name="loop3", number="7:3", files={"loop/backing_file": "/ramdisk/slow.img\n"})
    assert store_facts(tmp_path, proc, sys_root)["is_memory"] is True


@pytest.mark.parametrize(("name", "is_memory"), [("ram0", True), ("zram1", True), ("pmem0", False)])
def test_persistent_memory_is_a_device_and_a_ram_disk_is_memory(tmp_path: Path, name: str, is_memory: bool) -> None:
    """What outlives a restart is storage under test."""
    proc = fake_kernel(tmp_path / "proc", source=f"/dev/{name}", number="259:9")
    add_disk(tmp_path / "sys", name=name, number="259:9", files={})
    assert store_facts(tmp_path, proc, tmp_path / "sys")["is_memory"] is is_memory


def test_a_disk_over_fabrics_is_a_network_disk(tmp_path: Path) -> None:
    """NVMe over TCP looks like a local disk but for its transport."""
    proc, sys_root = fake_kernel(tmp_path / "proc", source="/dev/nvme1n1", number="259:4"), tmp_path / "sys"
    add_disk(sys_root, name="nvme1n1", number="259:4", files={"device/transport": "tcp\n"})
    assert store_facts(tmp_path, proc, sys_root)["is_network"] is True


def test_without_a_mount_table_everything_but_the_space_is_unknown(tmp_path: Path) -> None:
    """Nothing is guessed where the kernel does not tell."""
    facts = store_facts(tmp_path, tmp_path / "none", tmp_path / "none")
    assert facts["filesystem"] is None and facts["is_memory"] is None
    assert isinstance(facts["total_bytes"], int)
    assert "not in the mount table" in str(facts["unknown"])


@pytest.mark.parametrize("visible", [True, False])
def test_what_lies_below_an_overlay_is_told_where_its_layers_can_be_seen(tmp_path: Path, visible: bool) -> None:
    """Each file system once; inside a container the layers are somewhere that it does not see."""
    for name in ("up", "low") if visible else ():
        (tmp_path / name).mkdir()
    (tmp_path / "self").mkdir()
    layers = f"lowerdir={tmp_path}/low,upperdir={tmp_path}/up,workdir={tmp_path}/work"
    (tmp_path / "self/mountinfo").write_text(
        f"27 1 0:20 / / rw - overlay overlay rw,{layers}\n"
        f"28 27 0:21 / {tmp_path}/low rw - zfs tank/a rw\n"
        f"29 27 0:22 / {tmp_path}/up rw - btrfs /dev/x rw,compress=zstd\n"
    )
    facts = store_facts("/", tmp_path, tmp_path)
    expected = ("btrfs zfs", "rw,compress=zstd,rw") if visible else (None, None)
    assert (facts["below_filesystems"], facts["below_mount_options"]) == expected
    assert ("below_filesystems" in str(facts["unknown"])) == (not visible)
