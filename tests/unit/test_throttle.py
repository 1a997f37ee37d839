"""What a throttled store is asked for: read from a URL or a section, refused in one line, drawn from a seed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from ioprof.errors import SpecError
from ioprof.spec.render import to_toml
from ioprof.spec.resolve import resolve
from ioprof.spec.sources import RawSpec, put_assignment, read_toml
from ioprof.store.fsspec_store import without_credentials
from ioprof.store.open_store import open_store
from ioprof.store.throttle import KINDS, Factors, Jitter, parse_throttle
from ioprof.store.throttle_presets import PRESETS
from ioprof.store.throttled import ThrottledStore
from ioprof.trace.kinds import Kind


def test_a_latency_is_that_of_all_operations_but_closing() -> None:
    """A kind that is named has its own; one of 0 has none."""
    asked = parse_throttle("latency=5ms&latency.open=1ms&latency.stat=0&iops=2k&bandwidth=200MB/s&seed=3", "store")
    assert asked.latency_ns[Kind.OPEN] == 1_000_000
    assert set(KINDS.values()) - set(asked.latency_ns) == {Kind.CLOSE, Kind.STAT}
    assert {asked.latency_ns[kind] for kind in asked.latency_ns if kind is not Kind.OPEN} == {5_000_000}
    assert (asked.operations_per_s, asked.bandwidth_bytes_per_s, asked.seed) == (2000, 200_000_000, 3)


def test_what_is_given_replaces_what_a_preset_says() -> None:
    """A latency for all kinds replaces each of the preset's; one for a kind that kind's alone."""
    plain, faster = parse_throttle("preset=nfs", "store"), parse_throttle("latency=2ms&preset=nfs&iops=9", "store")
    assert plain.latency_ns[Kind.WRITE] > plain.latency_ns[Kind.READ] == plain.latency_ns[Kind.OPEN] == 1_000_000
    assert faster.latency_ns[Kind.WRITE] == faster.latency_ns[Kind.READ] == 2_000_000
    assert (faster.operations_per_s, faster.bandwidth_bytes_per_s) == (9, plain.bandwidth_bytes_per_s)
    assert faster.parameters == "bandwidth=500MiB/s&iops=9&latency=2ms"
    assert parse_throttle("preset=nfs&latency.read=7ms", "store").latency_ns[Kind.WRITE] == plain.latency_ns[Kind.WRITE]


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_can_be_used_and_says_where_it_comes_from(name: str) -> None:
    """Its parameters are understood, and its numbers have a source."""
    assert parse_throttle(f"preset={name}", "store").latency_ns
    assert len(PRESETS[name].source) > 40


def test_reading_a_file_as_an_object_of_s3_costs_one_request() -> None:
    """Opening and closing are no requests of an object store."""
    asked = parse_throttle("preset=s3", "store").latency_ns
    assert set(asked) == {Kind.LIST, Kind.STAT, Kind.READ, Kind.WRITE, Kind.GET, Kind.PUT}
    assert set(asked.values()) == {100_000_000}
    assert parse_throttle("preset=s3&latency=9ms", "store").latency_ns[Kind.OPEN] == 9_000_000


REFUSED = {
    "": "needs parameters",
    "latency": "write parameters as",
    "latency=5": "latency=5: '5' has no unit",
    "latency=-1ms": "latency=-1ms: must be 0 to",
    "laency=5ms": "laency=5ms: unknown parameter; did you mean 'latency'?",
    "latency.opne=5ms": "did you mean 'latency.open'?",
    "latency.decode=5ms": "unknown parameter",
    "latency=1ms&latency=2ms": "latency is given twice",
    "bandwidth=0": "bandwidth=0: must be positive",
    "bandwidth=fast": "bandwidth=fast: 'fast' is not a size",
    "iops=0": "iops=0: must be 1 or more",
    "iops=11M": "iops=11M: must be at most 10,000,000",
    "iops=1.5": "iops=1.5: '1.5' is not a whole number",
    "jitter=gauss:1": "jitter=gauss:1: write lognormal:CV",
    "jitter=uniform:1.5": "jitter=uniform:1.5: write",
    "jitter=lognormal": "jitter=lognormal: write",
    "preset=nsf": "preset=nsf: unknown preset; did you mean 'nfs'?",
    "seed=-1": "seed=-1: must be 0 or more",
}


@pytest.mark.parametrize("text", REFUSED)
def test_wrong_parameters_are_refused_in_one_line_that_names_the_key(text: str) -> None:
    """By the place in the spec, the key, the value and what to write."""
    with pytest.raises(SpecError) as caught:
        open_store(f"throttle+/data?{text}")
    assert str(caught.value).startswith("store.url: ")
    assert REFUSED[text] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("jitter", [Jitter("lognormal", 0.5), Jitter("uniform", 1.0), Jitter("exponential", 1.0)])
def test_jitter_keeps_the_mean_and_has_the_spread_that_was_asked_for(jitter: Jitter) -> None:
    """A uniform one's spread is half its width, which is its deviation times the root of three."""
    asked = parse_throttle(f"latency=1ms&jitter={jitter.shape}:{jitter.spread}&seed=5", "store")
    drawn = list(itertools.islice(iter(Factors(asked, (0, 0)), None), 200_000))
    mean = sum(drawn) / len(drawn)
    deviation = (sum((factor - mean) ** 2 for factor in drawn) / len(drawn)) ** 0.5
    assert mean == pytest.approx(1, rel=0.01)
    assert deviation == pytest.approx(jitter.spread / (3**0.5 if jitter.shape == "uniform" else 1), rel=0.03)
    assert min(drawn) >= 0


def test_jitter_is_the_same_for_the_same_seed_and_worker() -> None:
    """And another one for another worker."""
    first, other = (parse_throttle(f"latency=1ms&jitter=exponential&seed={seed}", "store") for seed in (1, 2))
    draws = [[draw() for draw in [Factors(asked, (0, worker))] * 9] for asked, worker in ((first, 0), (first, 0))]
    assert draws[0] == draws[1]
    assert Factors(first, (0, 1))() not in draws[0]
    assert Factors(first, (0, -2))() not in draws[0]
    assert Factors(other, (0, 0))() not in draws[0]


def test_a_throttled_url_wraps_the_store_below() -> None:
    """A local path is reached by os calls however it is written; anything else through fsspec."""
    for url in ("throttle+/data/x", "throttle+local:/data/x", "throttle+file:///data/x"):
        store = open_store(f"{url}?latency=5ms")
        assert isinstance(store, ThrottledStore)
        assert store.local_root == "/data/x"
        assert (store.at("a/b").local_root, store.at("a/b").url) == (
            "/data/x/a/b", "throttle+/data/x/a/b?latency=5ms",
        )  # fmt: skip
    assert open_store("throttle+memory://m?iops=5").local_root is None
    with pytest.raises(SpecError, match="stands twice"):
        open_store("throttle+throttle+/data?latency=1ms")


def test_parameters_of_a_throttled_store_are_shown_where_secrets_are_not() -> None:
    """The values that a query of another URL has stay hidden."""
    url = "throttle+s3://key:secret@bucket/x?latency=5ms&latency.get=1ms&preset=s3"
    assert without_credentials(url) == "throttle+s3://bucket/x?latency=5ms&latency.get=1ms&preset=s3"
    assert without_credentials("throttle+s3://bucket?token=secret&iops=5") == "throttle+s3://bucket?token=...&iops=5"
    assert without_credentials("s3://bucket?latency=secret") == "s3://bucket?latency=..."


def _raw(url: str) -> RawSpec:
    raw = RawSpec()
    raw.put("workload", "name", "small-files", "test")
    raw.put("store", "url", url, "--store")
    return raw


def test_a_section_or_assignments_throttle_any_store(tmp_path: Path) -> None:
    """They come out as the URL that says the same, which a spec file holds and gives again."""
    raw = _raw("/data")
    put_assignment(raw, "store.throttle.preset=nfs")
    put_assignment(raw, "store.throttle.latency.open=3ms")
    assert resolve(raw).store.url == "throttle+/data?preset=nfs&latency.open=3ms"
    path = tmp_path / "my.toml"
    path.write_text(
        '[workload]\nname = "small-files"\n[store]\nurl = "/data"\n[store.throttle]\nlatency = "5ms"\niops = 2000\n'
    )
    assert resolve(read_toml(path)).store.url == "throttle+/data?latency=5ms&iops=2000"
    path.write_text(to_toml(resolve(read_toml(path))))
    assert resolve(read_toml(path)).store.url == "throttle+/data?latency=5ms&iops=2000"


def test_parameters_are_given_at_one_place(tmp_path: Path) -> None:
    """Not half in the URL and half in a section; and each is one plain value."""
    raw = _raw("throttle+/data?latency=5ms")
    put_assignment(raw, "store.throttle.iops=5")
    with pytest.raises(SpecError, match=r"--set store.throttle.iops: the store's URL has parameters already"):
        resolve(raw)
    wrong = _raw("/data")
    put_assignment(wrong, "store.throttle.iosp=5")
    with pytest.raises(SpecError, match=r"store.throttle: iosp=5: unknown parameter; did you mean 'iops'"):
        resolve(wrong)
    path = tmp_path / "my.toml"
    path.write_text("[store.throttle]\nlatency.open = '5ms'\n")
    with pytest.raises(SpecError, match="a key with a dot is quoted"):
        read_toml(path)
