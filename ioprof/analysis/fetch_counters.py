"""Where ``read_bytes`` of /proc/PID/io is not what files were read of, and so no witness of the page cache."""

from __future__ import annotations

from ioprof.trace.run_record import RunRecord

_COMPRESSING = ("bcachefs", "squashfs", "erofs", "cramfs", "ubifs", "jffs2")
"""File systems that keep files compressed by themselves, or cannot be told not to."""
_COMPRESSING_OPTIONS = {"btrfs": ("compress", "compress-force"), "f2fs": ("compress_algorithm",)}
"""Those that do where they are mounted so, by the option's name."""
_NOT_COMPRESSING = ("no", "none")


def miscounted_reason(run: RunRecord) -> str | None:
    """Return why the kernel's count of what it fetched says nothing of the bytes of files here; None: it does.

    What is compressed is counted as it came from the device: a thirtieth of what was read would pass for a page cache
    that served the rest. What a FUSE client fetches is counted for the client, and never for the reader.
    """
    if is_fuse(run):
        return f"{run.store.get('filesystem')}: what its client fetches is not counted for the processes that read"
    options = f"{run.store.get('mount_options') or ''},{run.store.get('below_mount_options') or ''}"
    for filesystem in filesystems(run):
        if filesystem in _COMPRESSING or _is_mounted_compressing(filesystem, options):
            return f"{filesystem} keeps files compressed: the kernel counts the compressed bytes that it fetches"
    return None


def filesystems(run: RunRecord) -> list[str]:
    """Return the file system of the store, and those below it where it is an overlay whose layers were seen."""
    below = str(run.store.get("below_filesystems") or "").split()
    return [str(run.store.get("filesystem") or ""), *below]


def hidden_below(run: RunRecord) -> bool:
    """Tell whether the store is an overlay of layers that nobody could look at, as inside a container."""
    return bool(run.store.get("is_overlay")) and not run.store.get("below_filesystems")


def _is_mounted_compressing(filesystem: str, mount_options: str) -> bool:
    named = (option.partition("=") for option in mount_options.split(","))
    wanted = _COMPRESSING_OPTIONS.get(filesystem, ())
    return any(name in wanted and value not in _NOT_COMPRESSING for name, _, value in named)


def is_fuse(run: RunRecord) -> bool:
    """Tell whether a client program fetches what is read, and may keep it in a cache of its own."""
    filesystem = str(run.store.get("filesystem") or "")
    return filesystem == "fuse" or filesystem.startswith("fuse.")
