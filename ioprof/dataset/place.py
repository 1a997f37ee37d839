"""How messages name a store."""

from __future__ import annotations

from ioprof.store.base import Store


def place(store: Store) -> str:
    """Return the store's URL as people may see it: no user, no password, no query values."""
    if store.local_root is not None:
        return store.local_root
    # Imported here: this module brings fsspec along, which plain paths never need.
    from ioprof.store.fsspec_store import without_credentials

    return without_credentials(store.url)
