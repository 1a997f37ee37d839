"""`token-stream`: LLM pre-training. Random windows of tokens out of memory-mapped files."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal

import numpy as np
from ioprof.workloads.decode import CpuTransform, calibrated_transform
from ioprof.workloads.seeded_order import seeded_order
from ioprof.workloads.token_index import HEADER_BYTES, IndexHeader, TokenLayout, check_header, check_index
from ioprof.workloads.tree_walk import found_files
from pydantic import Field, ValidationInfo, field_validator

from ioprof.contract import Access, Indices, ObjectSizes, PluginParams, SampleReader, Setting, StoredSamples
from ioprof.errors import DatasetError, SpecError
from ioprof.spec.quantities import Bytes, Count, DurationNs
from ioprof.store.base import Store
from ioprof.store.open_files import OpenFiles
from ioprof.store.tap import Tap
from ioprof.store.tap_file import ShortReadError, TapFile
from ioprof.store.tap_map import Advice
from ioprof.store.throttled import MAPPED_IS_UNTHROTTLED, ThrottledStore

TokenType = Literal["uint16", "uint32"]
Reading = Literal["mmap", "pread"]
_TOKEN_BYTES: dict[str, int] = {"uint16": 2, "uint32": 4}
_KEPT_FILES = 512
"""Token files that a worker keeps mapped or open; Python holds a descriptor for a mapping, too, and 1,024 are usual."""


class TokenStreamParams(PluginParams):
    """What is stored, and how windows are read."""

    files: Count = Field(8, ge=1, le=10**8, description="number of token files, each with its index")
    token_type: TokenType = Field("uint16", description="what one token is stored as")
    file_size: Bytes = Field(256 * 1024**2, ge=2, le=16 * 1024**4, description="size of each token file")
    sequence_length: Count = Field(
        4096, ge=1, le=10**8, description="tokens the model sees; a sample is one more, for the last prediction"
    )
    document_tokens: Count = Field(1000, ge=1, le=10**9, description="mean length of a document in tokens")
    access: Reading = Field("mmap", description="mmap: copied out of a mapping; pread: one read per window")
    madvise: Advice = Field(
        "normal", description="what the kernel is told of a mapping: normal reads ahead, random does not"
    )
    shuffle: bool = Field(True, description="a new random order each epoch; false reads windows front to back")
    decode: DurationNs = Field(0, ge=0, le=60 * 10**9, description="CPU time one sample costs to decode; 0 = none")

    @field_validator("file_size")
    @classmethod
    def _holds_whole_tokens(cls, file_bytes: int, info: ValidationInfo) -> int:
        token_type = info.data.get("token_type")
        if token_type is not None and file_bytes % _TOKEN_BYTES[token_type]:
            raise ValueError(f"no whole number of {token_type} tokens, of {_TOKEN_BYTES[token_type]} bytes each")
        return file_bytes

    @field_validator("sequence_length")
    @classmethod
    def _fits_the_file(cls, length: int, info: ValidationInfo) -> int:
        file_bytes, token_type = info.data.get("file_size"), info.data.get("token_type")
        if file_bytes is not None and token_type is not None:
            tokens = file_bytes // _TOKEN_BYTES[token_type]
            if length >= tokens:
                raise ValueError(
                    f"a window of {length + 1:,} tokens is longer than a file of {tokens:,}; use a larger --file-size"
                )
        return length

    @field_validator("madvise")
    @classmethod
    def _is_heeded(cls, advice: Advice, info: ValidationInfo) -> Advice:
        if advice != "normal" and info.data.get("access") == "pread":
            raise ValueError("has no effect on pread; use --access mmap")
        return advice

    @property
    def token_bytes(self) -> int:
        """Bytes of one token."""
        return _TOKEN_BYTES[self.token_type]

    @property
    def header(self) -> IndexHeader:
        """What each token file holds."""
        tokens = self.file_size // self.token_bytes
        documents = max(1, tokens // self.document_tokens)
        return IndexHeader(token_bytes=self.token_bytes, tokens=tokens, documents=documents)

    @property
    def windows_per_file(self) -> int:
        """Windows of a file: each begins where the one before ends, and shares its last token with the next."""
        return (self.header.tokens - 1) // self.sequence_length


class TokenReader:
    """Reads one window of tokens per sample; picklable."""

    def __init__(self, layout: TokenLayout, params: TokenStreamParams, transform: CpuTransform | None) -> None:
        self._layout = layout
        self._access: Reading = params.access
        self._advice: Advice = params.madvise
        self._windows_per_file = params.windows_per_file
        self._stride_bytes = params.sequence_length * params.token_bytes
        self._window_bytes = (params.sequence_length + 1) * params.token_bytes
        self._transform = transform

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[memoryview]:
        """Return each sample's tokens, decoded; windows that could not be read are left out.

        Raises:
            DatasetError: a file's index does not match it.
        """
        files = tap.kept or self._kept(tap)
        length = self._window_bytes
        batch = np.empty(len(samples) * length, dtype=np.uint8)
        batch[:: mmap.PAGESIZE] = 0  # its own page faults, taken now: those of the copies are to be the store's
        room, contents = batch.data, []
        for place, sample in enumerate(samples):
            file, window = divmod(sample, self._windows_per_file)
            content = room[place * length : (place + 1) * length]
            try:
                files.file(2 * file).read_into(content, window * self._stride_bytes)
            except OSError:
                tap.lose(1)
                continue
            contents.append(content if self._transform is None else tap.decode(self._transform, content, 2 * file))
        return contents

    def _kept(self, tap: Tap) -> OpenFiles:
        tap.kept = OpenFiles(_KEPT_FILES, partial(self._opened, tap))
        return tap.kept

    def _opened(self, tap: Tap, obj: int) -> TapFile:
        """Read and check the index, as a training script does once per process; then map or open the tokens."""
        path, header = self._layout.path(obj), self._layout.header
        index_path = self._layout.path(obj + 1)
        with tap.open_file(index_path, obj + 1) as index:
            try:
                stored = index.read_at(0, header.index_bytes)
            except ShortReadError as error:
                raise DatasetError(f"{index_path}: cut short; run ioprof prepare with --verify") from error
        check_index(index_path, stored, header)
        if self._access == "pread":
            return tap.open_file(path, obj)
        return tap.map_file(path, obj, header.tokens * header.token_bytes, self._advice)


class TokenStream:
    """LLM pre-training: random windows of tokens out of memory-mapped files."""

    name: ClassVar[str] = "token-stream"
    summary: ClassVar[str] = "random windows of tokens out of memory-mapped files: page faults and readahead"
    Params: ClassVar[type[PluginParams]] = TokenStreamParams
    reference_model: ClassVar[str | None] = None
    access: ClassVar[Access] = "map"
    # No step time of a language model is published for the known accelerators, and none is guessed.
    defaults: ClassVar[Mapping[str, Setting]] = {"accelerator.name": "none"}

    def __init__(self, params: TokenStreamParams, seed: int) -> None:
        self._params = params
        self._seed = seed
        self._layout = TokenLayout(files=params.files, header=params.header, seed=seed)

    def layout(self) -> TokenLayout:
        """Return the token files and their indexes."""
        return self._layout

    def samples(self) -> int:
        """Return the number of windows of all files."""
        return self._params.files * self._params.windows_per_file

    def order(self, epoch: int) -> Indices:
        """Return the windows in the order of ``epoch``."""
        return seeded_order(self.samples(), self._seed, epoch, shuffle=self._params.shuffle)

    def check_store(self, store: Store) -> None:
        """Refuse to map what is not a local file.

        Raises:
            SpecError: the store is not a local path, or throttled.
        """
        if self._params.access == "mmap" and isinstance(store, ThrottledStore):
            raise SpecError(f"workload.access = 'mmap': {MAPPED_IS_UNTHROTTLED}; use --access pread")
        if self._params.access == "mmap" and store.local_root is None:
            raise SpecError(
                f"workload.access = 'mmap': {store.url} is not a local path, and only local files can be mapped; "
                "use --access pread"
            )

    def discover(self, store: Store, tap: Tap) -> int:
        """List the files and read the header of every index; return how many windows they promise.

        Raises:
            DatasetError: an index does not match its token file.
        """
        found = 0
        for path in found_files(tap):
            if path.endswith(".idx"):
                with tap.open_file(path) as index:
                    try:
                        stored = index.read_at(0, HEADER_BYTES)
                    except ShortReadError as error:
                        raise DatasetError(f"{path}: cut short; run ioprof prepare with --verify") from error
                check_header(path, stored, self._params.header)
                found += self._params.windows_per_file
        return found

    @property
    def stored_format(self) -> str:
        """Return that objects are arrays of tokens and their indexes."""
        return "tokens"

    def stored_samples(self, sizes: ObjectSizes) -> StoredSamples:
        """Return the token files for loaders that read them themselves; each file's index is the object after it."""
        params, header = self._params, self._params.header
        return StoredSamples(
            format=self.stored_format,
            layout=self._layout,
            sizes=sizes,
            objects=range(0, 2 * params.files, 2),
            samples_per_object=params.windows_per_file,
            order=self._file_order,
            decode=self._transform(),
            details={
                "sequence_length": params.sequence_length,
                "token_bytes": header.token_bytes,
                "tokens": header.tokens,
                "documents": header.documents,
                "access": params.access,
                "madvise": params.madvise,
            },
        )

    def _file_order(self, epoch: int) -> Indices:
        return 2 * seeded_order(self._params.files, self._seed, epoch, shuffle=self._params.shuffle)

    def reader(self, sizes: ObjectSizes) -> SampleReader:
        """Return the reader; the decode cost is calibrated here, before workers start."""
        return TokenReader(self._layout, self._params, self._transform())

    def _transform(self) -> CpuTransform | None:
        params = self._params
        window_bytes = (params.sequence_length + 1) * params.token_bytes
        return calibrated_transform(params.decode, window_bytes) if params.decode else None
