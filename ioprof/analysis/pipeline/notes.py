"""What a prediction rests on, in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from ioprof.analysis.pipeline.basis import Measured, Setting

_FEW_STEPS, _FEW_TURNS = 30, 5
"""Of fewer measured steps, or turns of all that may be made ahead, no prediction is sure."""
_CPUS_BUSY = 0.9


@dataclass(slots=True)
class Notes:
    """What a prediction rests on, and where it leaves what was measured; each a plain sentence, once."""

    assumptions: dict[str, None] = field(default_factory=dict)
    outside: dict[str, None] = field(default_factory=dict)

    def assume(self, told: str) -> None:
        """Note an assumption."""
        self.assumptions[told] = None

    def beyond(self, told: str) -> None:
        """Note what lies outside of what was measured."""
        self.outside[told] = None


def note_general(measured: Measured, setting: Setting, notes: Notes) -> None:
    """Note what any prediction from this run rests on."""
    before, transport = measured.setting, measured.transport
    consumer_ns = transport.unwrap_ns + transport.handover_ns
    if setting.workers and before.workers == 0:
        both_ms = (transport.send_ns + consumer_ns) / 1e6
        known = (
            "as on other machines" if transport.from_memory else "as the loader with one worker fed from memory told"
        )
        notes.assume(f"Moving a batch between processes takes {both_ms:.2g} ms, {known}: this run moved none.")
    elif setting.workers and not transport.is_split_known:
        notes.assume(
            f"Receiving a batch takes the consumer {consumer_ns / 1e6:.2g} ms: that was not seen by itself, as "
            "no batch lay ready."
        )
    ahead, steps = before.workers * before.prefetch, len(measured.recipe)
    if steps < max(_FEW_STEPS, _FEW_TURNS * ahead):
        notes.beyond(
            f"The run has only {steps} measured steps: what its workers had made ahead weighs much in them. Run it for "
            "longer."
        )
    if not measured.recipe.is_accounted:
        notes.assume(
            "The kernel's accounting is missing: storage operations are taken to wait, everything else to compute."
        )
    if measured.other_load > 0.05:
        notes.assume(f"Other programs take {measured.other_load:.1f} CPUs of the host, as they did in the run.")
    if setting.hosts > 1 or setting.ranks_per_host != before.ranks_per_host:
        notes.assume("All ranks take each step together; those of a host share its CPUs, all hosts share the store.")


def note_cpus(computed_ns: float, step_ns: float, setting: Setting, notes: Notes) -> None:
    """Note where the CPUs of a host are what ends it.

    Args:
        computed_ns: of a batch, on a CPU, all processes together.
        step_ns: mean length of the replayed steps.
        setting: as asked about.
        notes: where it is noted.
    """
    used = computed_ns * setting.ranks_per_host / step_ns if step_ns > 0 else 0.0
    if used > _CPUS_BUSY * setting.cores:
        ranks = "1 rank keeps" if setting.ranks_per_host == 1 else f"the {setting.ranks_per_host} ranks of a host keep"
        notes.assume(
            f"The CPUs are the limit: {ranks} {min(used, setting.cores):.1f} of {setting.cores:g} busy. More CPUs "
            "(--cores), or more hosts for as many ranks (--hosts), would bring more."
        )
