"""The pieces that a batch's way to the accelerator is made of, and what else can hold it up: one closed set.

Most stages take time of their own, the columns of `PipelineWork.pieces_ns`. `PREFETCH_LIMIT` and `IN_ORDER` do not:
they are rules of the loader that let work wait although somebody was free to do it, and have columns of zeros.
"""

from __future__ import annotations

from enum import IntEnum

from ioprof.trace.kinds import Kind


class Stage(IntEnum):
    """What the accelerator can be waiting for; the number is the column in arrays over stages."""

    LIST = 0
    STAT = 1
    OPEN = 2
    READ = 3
    CLOSE = 4
    GET = 5
    OTHER_STORAGE = 6
    """Every other storage operation: mapping and touching files, writing, renaming, ..."""
    DECODE = 7
    AUGMENT = 8
    COLLATE = 9
    LOADER = 10
    """The worker's own code between operations, and between taking a batch on and beginning to fetch it."""
    IPC = 11
    """A batch on its way from the worker to the consumer: sent, received, unwrapped."""
    PIN = 12
    TRANSFER = 13
    """Copy to the accelerator."""
    PREFETCH_LIMIT = 14
    """A worker was free and was not asked for the next batch yet."""
    IN_ORDER = 15
    """A later batch lay ready, and had to wait for its turn."""
    START_UP = 16
    """Workers come up at the start of an epoch, and the loader closes down at its end."""
    STEP_SYNC = 17
    """Waiting for other ranks."""
    CHECKPOINT = 18
    """The step loop stood still for a save."""
    UNEXPLAINED = 19
    """Matches nothing that was recorded; never spread over the others."""
    DATASET = 20
    """The user's own dataset making a batch, where it was not timed what of that was reading and what preparing."""
    HOST_LATE = 21
    """An emulated step was over, and the consumer's thread got no CPU to go on."""

    @property
    def key(self) -> str:
        """The lower-case word used in files and reports."""
        return self.name.lower()


STAGES = len(Stage)
STORAGE_STAGES = (
    Stage.LIST, Stage.STAT, Stage.OPEN, Stage.READ, Stage.CLOSE, Stage.GET, Stage.OTHER_STORAGE,
)  # fmt: skip
PREP_STAGES = (Stage.DECODE, Stage.AUGMENT, Stage.COLLATE)
WORKER_STAGES = (*STORAGE_STAGES, *PREP_STAGES, Stage.DATASET, Stage.LOADER, Stage.START_UP, Stage.UNEXPLAINED)
"""Done by the worker that makes the batch, one after the other; `START_UP` before all else."""
DELIVERY_STAGES = (Stage.IPC, Stage.PIN, Stage.TRANSFER)
"""From the worker's hands to the accelerator."""
BEFORE_ASKING_STAGES = (Stage.CHECKPOINT, Stage.STEP_SYNC, Stage.HOST_LATE)
"""The consumer does these after a step, before it asks for the next batch."""
RULE_STAGES = (Stage.PREFETCH_LIMIT, Stage.IN_ORDER)
"""No work, but rules by which work waits."""

STAGE_OF_KIND: dict[Kind, Stage] = {
    kind: {
        Kind.LIST: Stage.LIST,
        Kind.STAT: Stage.STAT,
        Kind.OPEN: Stage.OPEN,
        Kind.READ: Stage.READ,
        Kind.CLOSE: Stage.CLOSE,
        Kind.GET: Stage.GET,
        Kind.DECODE: Stage.DECODE,
    }.get(kind, Stage.OTHER_STORAGE)
    for kind in Kind
}
"""The stage that an operation of each kind is part of."""
