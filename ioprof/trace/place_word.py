"""Where in an object a read began, and how an object was opened: kept above the kind in a record's first word.

So records grow by nothing. A word without such a note is the bare kind: what it would say is not known.
"""

from __future__ import annotations

from ioprof.trace.kinds import Kind

NOTE_SHIFT = 8
KIND_MASK = (1 << NOTE_SHIFT) - 1


def kind_at(kind: Kind, offset: int) -> int:
    """Return the word of an operation that began at byte ``offset`` of its object, less than 32 PiB."""
    return int(kind) + ((offset + 1) << NOTE_SHIFT)


# Added to `offset << NOTE_SHIFT` where a call for each read would show.
READ_FROM_0 = kind_at(Kind.READ, 0)
GET_FROM_0 = kind_at(Kind.GET, 0)
TOUCH_FROM_0 = kind_at(Kind.TOUCH, 0)

PLAIN_OPEN = int(Kind.OPEN) + (1 << NOTE_SHIFT)
DIRECT_OPEN = int(Kind.OPEN) + (2 << NOTE_SHIFT)
"""With ``O_DIRECT``: around the page cache."""
