"""Removing files by their names, and directories once they are empty: never through a link, never what is not ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

from ioprof.store.base import Store

_EXAMPLES = 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_objects(store: Store, paths: Iterable[str], *, is_whole: bool) -> int:
    """Remove the files of these paths that are there, and return how many were; ``is_whole``: all are known to be."""
    if store.local_root is not None:
        return _remove_local(store.local_root, paths)
    removed = 0
    # Object stores remove what is not there without a word.
    for path in paths if is_whole else _listed(store, paths):
        try:
            store.unlink(path)
            removed += 1
        except FileNotFoundError:
            continue
    return removed


def _listed(store: Store, paths: Iterable[str]) -> Iterator[str]:
    """Yield those of the paths that the store lists; each directory is listed when its first path comes."""
    listed, names = None, frozenset[str]()
    for path in paths:
        directory, _, name = path.rpartition("/")
        if directory != listed:
            listed, names = directory, _names(store, directory)
        if name in names:
            yield path


def _names(store: Store, directory: str) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in store.list(directory))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def _remove_local(root: str, paths: Iterable[str]) -> int:
    """Unlink relative to opened directories, none of which is a link: what is outside stays out of reach."""
    removed, opened, descriptor = 0, None, -1
    try:
        for path in paths:
            directory, _, name = path.rpartition("/")
            if directory != opened:
                if descriptor >= 0:
                    os.close(descriptor)
                opened, descriptor = directory, _open_directory(root, directory)
            if descriptor >= 0:
                removed += _unlink(name, descriptor)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return removed


def _unlink(name: str, descriptor: int) -> int:
    try:
        os.unlink(name, dir_fd=descriptor)
    except (FileNotFoundError, IsADirectoryError):
        # A directory under an object's name is someone else's: it is reported when its parent is not empty.
        return 0
    return 1


def _open_directory(root: str, path: str) -> int:
    """Return a descriptor of a directory reached without following links; -1 where there is none."""
    descriptor = os.open(root, _DIRECTORY)
    for part in path.split("/") if path else ():
        parent = descriptor
        try:
            descriptor = os.open(part, _DIRECTORY, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError):
            return -1
        except OSError as error:
            if error.errno == errno.ELOOP:
                return -1
            raise
        finally:
            os.close(parent)
    return descriptor


class Foreign:
    """What was found that ioprof did not make."""

    def __init__(self) -> None:
        self.count = 0
        self.paths: list[str] = []
        self.kept_directories: set[str] = set()

    def note(self, path: str) -> None:
        """Count one name, relative to the dataset, and keep it if it is among the first."""
        self.count += 1
        if len(self.paths) < _EXAMPLES:
            self.paths.append(path)


def remove_directory(store: Store, path: str, foreign: Foreign) -> None:
    """Remove a directory of ours if it is empty; note what else it holds if it is not."""
    try:
        if store.local_root is None:
            _remove_remote_directory(store, path)
        else:
            _remove_local_directory(store.local_root, path)
        return
    except FileNotFoundError:
        return
    except NotADirectoryError:
        foreign.note(path)
        foreign.kept_directories.add(path)
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    for entry in store.list(path):
        below = f"{path}/{entry.name}" if path else entry.name
        if below not in foreign.kept_directories:
            foreign.note(below)
    foreign.kept_directories.add(path)


def _remove_remote_directory(store: Store, path: str) -> None:
    if store.list(path):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
    store.remove_dir(path)


def _remove_local_directory(root: str, path: str) -> None:
    if not path:
        os.rmdir(root)
        return
    parent, _, name = path.rpartition("/")
    descriptor = _open_directory(root, parent)
    if descriptor < 0:
        return
    try:
        os.rmdir(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def unlink_known(store: Store, paths: Iterable[str]) -> None:
    """Remove files of ours, whether or not they are there."""
    for path in paths:
        try:
            store.unlink(path)
        except FileNotFoundError:
            continue
