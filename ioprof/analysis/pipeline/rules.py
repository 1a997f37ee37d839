"""What the loader's rules cost a rank: batches that lay ready and had to wait for their turn, workers left unasked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.pipeline.made import Made
from ioprof.analysis.pipeline.schedule import epoch_starts
from ioprof.analysis.pipeline.work import Floats, PipelineShape


def in_order_ns(rank: RankSteps, made: Made, shape: PipelineShape, idle_ns: Floats) -> Floats:
    """Return the part of each step's idle time that delivery in order cost, in ns.

    While a batch is waited for nothing is received, and so nobody is asked for anything. From the moment on at which
    a worker has made all that it was asked for, a later batch lies ready that the accelerator could have used, and
    the worker stands still because it may not. As long as every worker still has work, another order would only
    exchange one wait for another: that is not counted.

    Args:
        rank: the steps.
        made: how their batches were made.
        shape: the loader's rules.
        idle_ns: idle time before each step.
    """
    part = np.zeros(len(rank.step))
    workers, ahead = shape.workers, shape.workers * shape.prefetch
    if not shape.in_order or workers < 2:
        return part
    end_ns = np.where(made.known, made.end_ns, np.inf)
    starts = epoch_starts(rank.epoch).tolist()
    for first, stop in pairwise(starts):
        waiting = stop - first - ahead  # whose receipt lets another batch be asked for
        if waiting <= 0:
            continue
        # The last batch that each worker was asked for, while the k-th is waited for: k + ahead - workers and on.
        latest = sliding_window_view(end_ns[first + ahead - workers : stop - 1], workers)[:waiting].min(axis=1)
        steps = slice(first, first + waiting)
        since = np.maximum(rank.wait_start_ns[steps], latest)
        until = np.minimum(end_ns[steps], rank.wait_end_ns[steps])
        part[steps] = np.clip(np.where(np.isfinite(since) & np.isfinite(until), until - since, 0.0), 0.0, None)
    return np.minimum(part, idle_ns)
