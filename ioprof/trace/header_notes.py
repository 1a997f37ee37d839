"""What a recorder keeps in the header of its operations file: totals and readings, each in a word of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ioprof.trace import opsfile
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import CacheWord, Header, Words
from ioprof.trace.tally import Tally

_CACHE_BATCHES = [int(Header.CACHE + phase * len(CacheWord) + CacheWord.BATCHES) for phase in range(len(Phase))]


class HeaderNotes:
    """The part of `ioprof.trace.recorder.Recorder` that writes header words.

    Attributes:
        tally: what every batch changes.
    """

    tally: Tally
    _ints: memoryview[int]
    _words: Words

    def note_batch(self, worker_time_ns: int) -> None:
        """Add a finished batch to the totals that the overhead is judged against."""
        self.tally.add_batch(worker_time_ns)

    def note_hooks(self, accounted: bool, hooks_ns: int) -> None:
        """Add what the hooks around one batch took; some batches stand for all of their kind."""
        at = Header.HOOKS_ACCOUNTED_NS if accounted else Header.HOOKS_TIMED_NS
        self._ints[at] += hooks_ns
        self._ints[at + 1] += 1

    def note_cache(self, method: int, counts: Sequence[int]) -> None:
        """Add what was counted of the page cache for the open batch, in the order of `CacheWord`.

        Args:
            method: how the kernel was asked, the value of `Header.CACHE_METHOD`.
            counts: amounts, added to those of the open phase.
        """
        self._ints[Header.CACHE_METHOD] = method
        for at, count in enumerate(counts, Header.CACHE + self.tally.phase * len(CacheWord)):
            if count:
                self._ints[at] += count

    def note_unasked_batch(self) -> None:
        """Count the open batch as one whose pages nobody asked about."""
        self._ints[_CACHE_BATCHES[self.tally.phase]] += 1

    def note_faults(self, major_faults: int, minor_faults: int) -> None:
        """Add the page faults of one copy out of a mapped file."""
        at = Header.FAULTS + self.tally.phase * opsfile.FAULT_WORDS
        self._ints[at] += major_faults
        self._ints[at + 1] += minor_faults
        self._ints[at + 2] += major_faults > 0

    def note_held(self, held: Mapping[Kind, Sequence[int]], slower: int) -> None:
        """Keep what a throttle has held back so far.

        Args:
            held: operations, time asked for and time given in ns, of each kind.
            slower: operations that took longer by themselves.
        """
        rows = opsfile.held_of(self._words)
        for kind, sums in held.items():
            rows[opsfile.SLOT_OF_KIND[kind]] = sums
        self._ints[Header.HELD_SLOWER] = slower

    def note_io(
        self,
        tapped_bytes: int,
        tapped_page_bytes: int,
        rchar_bytes: int,
        read_bytes: int,
        *,
        mapped_bytes: int = 0,
        touched_page_bytes: int = 0,
    ) -> None:
        """Keep a reading of /proc/PID/io beside the bytes tapped so far; the first and the last one count."""
        words, reading = self._words, (tapped_bytes, rchar_bytes, read_bytes)
        if not words[Header.IO_KNOWN]:
            words[Header.IO_FIRST_TAPPED : Header.IO_FIRST_READ + 1] = reading
            words[Header.IO_FIRST_PAGES], words[Header.IO_FIRST_MAPPED] = tapped_page_bytes, mapped_bytes
            words[Header.IO_FIRST_TOUCHED] = touched_page_bytes
        words[Header.IO_LAST_TAPPED : Header.IO_LAST_READ + 1] = reading
        words[Header.IO_LAST_PAGES], words[Header.IO_LAST_MAPPED] = tapped_page_bytes, mapped_bytes
        words[Header.IO_LAST_TOUCHED] = touched_page_bytes
        words[Header.IO_KNOWN] = 1

    def note_objects(self, fetched_bytes: int) -> None:
        """Keep how many bytes came from object stores so far, through calls that were timed."""
        self._ints[Header.OBJECT_BYTES] = fetched_bytes

    def note_latent(self, files: int, mapped_bytes: int, major_faults: int) -> None:
        """Keep what is mapped into the process, of which nobody sees what is read, and what its page faults say.

        Args:
            files: data files that are mapped.
            mapped_bytes: how long their mappings are.
            major_faults: of this process since it began; the first and the last reading count.
        """
        words = self._ints
        if mapped_bytes >= words[Header.LATENT_BYTES]:
            words[Header.LATENT_FILES], words[Header.LATENT_BYTES] = files, mapped_bytes
        if not words[Header.MAJOR_FAULTS_KNOWN]:
            words[Header.MAJOR_FAULTS_FIRST] = major_faults
        words[Header.MAJOR_FAULTS_LAST] = major_faults
        words[Header.MAJOR_FAULTS_KNOWN] = 1
