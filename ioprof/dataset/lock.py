"""One writer per dataset: two preparations, or a preparation and a removal, must not meet."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ioprof.dataset.marker import BOOKKEEPING
from ioprof.dataset.place import place
from ioprof.errors import DatasetError
from ioprof.store.base import Store

LOCK_PATH = f"{BOOKKEEPING}/lock"
NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system without locks answers."""


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """Hold the dataset at the store's root; the kernel lets go however this process ends.

    Stores that are not local have no locks: there, whoever starts two at once gets both.

    Raises:
        DatasetError: another process holds it.
    """
    if store.local_root is None:
        yield
        return
    descriptor = os.open(f"{store.local_root}/{LOCK_PATH}", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        _take(descriptor, store)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, store: Store) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DatasetError(f"{place(store)}: another process is preparing or removing it; wait for it to end") from None
    except OSError as error:
        if error.errno not in NO_LOCKS_HERE:
            raise
