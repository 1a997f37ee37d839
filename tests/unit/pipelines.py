"""Random pipelines for property tests: work and rules of every kind, with ties."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from ioprof.analysis.pipeline.pieces import RULE_STAGES, STAGES, Stage
from ioprof.analysis.pipeline.work import Floats, PipelineShape, PipelineWork


def work_with(
    pieces_ns: Floats, *, unwrap_ns: Floats, busy_ns: Floats, epochs: int = 1, workers: int = 1
) -> PipelineWork:
    """Return work with these durations, its epochs as equal as can be, its streams dealt out in turn."""
    n = len(pieces_ns)
    rows = np.arange(n)
    epoch = rows * epochs // max(1, n)
    first = np.searchsorted(epoch, epoch)
    return PipelineWork(
        batch=rows,
        worker=(rows - first) % max(1, workers),
        samples=np.ones(n, np.int64),
        epoch=epoch,
        pieces_ns=pieces_ns,
        unwrap_ns=unwrap_ns,
        busy_ns=busy_ns,
    )


@st.composite
def pipelines(
    draw: st.DrawFn, *, tied: bool | None = None, orderly: bool = False, least_workers: int = 0
) -> tuple[PipelineWork, PipelineShape]:
    """Draw work and rules.

    Args:
        draw: hypothesis's own.
        tied: durations are small whole numbers, so that many moments coincide; None: sometimes.
        orderly: batches pass each place in an order that does not hang on how long anything takes.
        least_workers: no fewer.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    whole = draw(st.booleans()) if tied is None else tied
    n, workers = draw(st.integers(1, 40)), draw(st.integers(least_workers, 5))
    scale_ns = 10.0 ** rng.uniform(3, 7, STAGES)
    scale_ns[list(RULE_STAGES)] = 0.0
    scale_ns[rng.random(STAGES) < draw(st.sampled_from([0.0, 0.5, 0.9]))] = 0.0
    spread = draw(st.sampled_from([0.0, 0.5, 1.5]))

    def durations(*shape: int) -> Floats:
        return rng.integers(0, 4, shape).astype(np.float64) if whole else rng.lognormal(0, spread, shape)

    pieces_ns = durations(n, STAGES) * scale_ns
    if whole:
        pieces_ns = np.where(pieces_ns > 0, durations(n, STAGES), 0.0)
    pieces_ns[:, Stage.START_UP] *= np.arange(n) < workers
    shape = PipelineShape(
        workers=workers,
        prefetch=draw(st.integers(1, 4)),
        in_order=orderly or draw(st.booleans()),
        pin=draw(st.booleans()) and not (orderly and workers > 1),
        access=draw(st.sampled_from(["map", "stream"])),
    )
    one = 1.0 if whole else 10.0 ** rng.uniform(4, 7)
    work = work_with(
        pieces_ns,
        unwrap_ns=durations(n) * (one / 10 if not whole else 1),
        busy_ns=durations(n) * one,
        epochs=draw(st.integers(1, 3)),
        workers=workers,
    )
    return work, shape
