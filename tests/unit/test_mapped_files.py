"""Which data files a process has mapped, whoever mapped them."""

from __future__ import annotations

import mmap
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow as pa

from ioprof.host.mapped_files import MappedFiles, mapped_files, own_mapped_files

PAGE_BYTES = mmap.PAGESIZE
LINE = "{low:x}-{high:x} {perms} 00000000 fe:00 1234 {path}\n"


def _maps(*files: tuple[str, str, int]) -> str:
    """Return a /proc/PID/maps of paths, permissions and pages."""
    return "7f00-7f01 rw-p 00000000 00:00 0 \n" + "".join(
        LINE.format(low=0x1000, high=0x1000 + pages * PAGE_BYTES, perms=perms, path=path)
        for path, perms, pages in files
    )


def test_data_is_told_from_programs_and_from_shared_memory() -> None:
    """A library by any part of it that runs, a runtime's own files by where they lie, POSIX memory by lying flat."""
    maps = _maps(
        ("/data/my images/a.bin", "r--s", 3),
        ("/data/my images/a.bin", "r--s", 2),
        ("/dev/shm/dataset/b.bin", "r--s", 4),
        ("/library/c.bin", "r--s", 5),
        ("/data/gone.bin (deleted)", "r--s", 6),
        ("/dev/shm/pymp-x1/pym-7-y (deleted)", "rw-s", 8),
        ("/home/u/old.so (deleted)", "r--p", 8),
        ("/data/results/run/trace/steps.log", "rw-s", 8),
        ("/home/u/plugin", "r--p", 8),
        ("/home/u/plugin", "r-xp", 8),
        ("/home/u/libx.so.6", "r--p", 8),
        ("/usr/lib/locale/locale-archive", "r--p", 8),
        ("/dev/shm/torch_1_2", "rw-s", 8),
        ("/dev/nvidia0", "rw-s", 8),
        ("/memfd:x (deleted)", "rw-s", 8),
        ("[heap]", "rw-p", 8),
    )
    assert mapped_files(maps, but_below="/data/results/run") == MappedFiles(4, 20 * PAGE_BYTES)


def test_where_the_kernel_does_not_tell_nothing_is_known(tmp_path: Path) -> None:
    """No /proc, no answer; never zero files."""
    assert own_mapped_files(str(tmp_path)) is None


def _map_and_ask(path: Path, answer: Connection) -> None:
    before = own_mapped_files()
    kept = np.load(path, mmap_mode="r"), pa.memory_map(str(path))
    answer.send((before, own_mapped_files()))
    kept[1].close()
    answer.close()


def test_mappings_of_numpy_and_of_a_native_library_are_found_in_a_process_of_their_own(tmp_path: Path) -> None:
    """Both map the same file: it is one file, as long as both mappings."""
    path = tmp_path / "all.npy"
    np.save(path, np.zeros(50_000))
    listening, answering = multiprocessing.Pipe(duplex=False)
    worker = multiprocessing.get_context("fork").Process(target=_map_and_ask, args=(path, answering))
    worker.start()
    answering.close()
    with listening:
        before, after = listening.recv()
    worker.join()
    worker.close()
    pages = -(-path.stat().st_size // PAGE_BYTES)
    assert after.files - before.files == 1
    assert after.mapped_bytes - before.mapped_bytes == 2 * pages * PAGE_BYTES
