"""The published numbers of MLPerf Storage's training workloads, each with the configuration it stands in.

Step times, and the batch sizes they were published with, are in the table of accelerators
(`ioprof.accelerator.table`). Nothing here is measured or estimated.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One workload as its configuration gives it."""

    model: str
    files: int
    samples_per_file: int
    record_bytes: int
    record_stdev_bytes: int = 0
    delivered_bytes: int | None = None
    """``record_length_bytes_resize``: what of each sample goes into the batch."""
    read_threads: int
    shuffle_files: bool = False
    shuffle_buffer: int = 0
    """Samples that are shuffled among each other while streaming; 0: none."""
    columns: int = 1
    project: int = 1
    """Columns of a Parquet file, and how many of them are read."""
    row_group: int = 1
    """Samples of a row group of Parquet."""
    prefetch_batches: int = 2
    """``prefetch_size``: batches ahead over all workers; 2 where the configuration does not say."""
    epochs: int | None
    threshold: float | None
    """``metric.au``; None: the configuration has none."""
    source: str

    @property
    def prefetch_per_worker(self) -> int:
        """Batches that each worker is ahead: DLIO rounds up."""
        return -(-self.prefetch_batches // self.read_threads)


UNET3D = Published(
    model="unet3d",
    files=168,
    samples_per_file=1,
    record_bytes=146_600_628,
    record_stdev_bytes=68_341_808,
    delivered_bytes=2_097_152,
    read_threads=4,
    epochs=5,
    threshold=0.90,
    source="DLIO, configs/dlio/workload/unet3d_h100.yaml (unet3d_b200.yaml of MLPerf Storage v3 has 7,200 files)",
)
COSMOFLOW = Published(
    model="cosmoflow",
    files=524_288,
    samples_per_file=1,
    record_bytes=2_828_486,
    record_stdev_bytes=71_311,
    read_threads=4,
    shuffle_files=True,
    shuffle_buffer=2,
    epochs=5,
    threshold=0.70,
    source="DLIO, configs/dlio/workload/cosmoflow_h100.yaml",
)
RESNET50 = Published(
    model="resnet50",
    files=1024,
    samples_per_file=1251,
    record_bytes=114_660,
    delivered_bytes=150_528,
    read_threads=8,
    epochs=5,
    threshold=0.90,
    source="DLIO, configs/dlio/workload/resnet50_h100.yaml (record of 114,660.07 bytes)",
)
RETINANET = Published(
    model="retinanet",
    files=1_170_301,
    samples_per_file=1,
    record_bytes=322_957,
    read_threads=8,
    epochs=8,
    threshold=0.85,
    source="MLPerf Storage v3 (2026), configs/dlio/workload/retinanet_b200.yaml",
)
FLUX = Published(
    model="flux",
    files=4296,
    samples_per_file=288,
    record_bytes=2_164_832,
    read_threads=8,
    shuffle_files=True,
    columns=5,
    project=5,
    row_group=16,
    epochs=1,
    threshold=0.90,
    source="MLPerf Storage v3 (2026), configs/dlio/workload/flux_b200.yaml; the size of row groups is not in it: 16 "
    "samples, 33 MiB, is ours",
)
DLRM = Published(
    model="dlrm",
    files=1024,
    samples_per_file=4_718_592,
    record_bytes=761,
    read_threads=4,
    shuffle_files=True,
    columns=200,
    project=45,
    row_group=6144,
    epochs=1,
    threshold=0.70,
    source="MLPerf Storage v3 (2026), configs/dlio/workload/dlrm_b200.yaml at 0b42eb5; about 45 of its 200 "
    "columns are read: 45 here, the first ones, and all of about the same width",
)
BERT = Published(
    model="bert",
    files=500,
    samples_per_file=313_532,
    record_bytes=2500,
    read_threads=1,
    shuffle_files=True,
    shuffle_buffer=1024,
    epochs=None,
    threshold=None,
    source="DLIO, configs/dlio/workload/bert_v100.yaml; the size of the shuffle buffer is not in it: 1,024 is ours",
)
