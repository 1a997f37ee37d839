"""The seams there are."""

from __future__ import annotations

from collections.abc import Mapping

from ioprof.capture.seams import arrow_mappings, fsspec_gets, numpy_files, webdataset_pipes
from ioprof.capture.seams.on_import import Seam

SEAMS: Mapping[str, Seam] = {
    "fsspec.spec": fsspec_gets.seam,
    "numpy": numpy_files.seam,
    "pyarrow": arrow_mappings.seam,
    "webdataset.gopen": webdataset_pipes.seam,
}
"""By the module whose import they follow."""
