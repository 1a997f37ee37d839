"""``--require``: what a run must reach."""

from __future__ import annotations

import operator
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.analysis.summary import Summary
from ioprof.errors import RequirementError, UsageError
from ioprof.requirement import check_all, numeric_keys, parse_requirement

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
NUMBERS = st.integers(-3, 3).map(lambda number: number / 2)


@given(found=NUMBERS, bound=NUMBERS, comparison=st.sampled_from(sorted(COMPARE)))
def test_a_requirement_is_met_exactly_when_its_comparison_holds(found: float, bound: float, comparison: str) -> None:
    """The five comparisons mean what they mean in mathematics, at the bound as well."""
    requirement = parse_requirement(f"samples_per_s {comparison} {bound}")
    if COMPARE[comparison](found, bound):
        requirement.check({"samples_per_s": found})
    else:
        with pytest.raises(RequirementError, match="not met") as caught:
            requirement.check({"samples_per_s": found})
        assert caught.value.exit_code == 3


def test_short_names_and_dotted_keys_reach_into_the_summary() -> None:
    """``au`` is accelerator_utilization; any numeric key can be reached by its path."""
    summary: dict[str, object] = {
        "accelerator_utilization": 0.93,
        "operations": {"read": {"latency_ns": {"p99": 1.5e6}}},
    }
    parse_requirement("au>=0.9").check(summary)
    parse_requirement("operations.read.latency_ns.p99<2e6").check(summary)
    with pytest.raises(RequirementError, match=r"accelerator_utilization is 0\.93"):
        parse_requirement("au>0.95").check(summary)


@pytest.mark.parametrize("value", [None, "fast", True, {"p99": 1}])
def test_a_key_without_a_number_is_never_a_pass(value: object) -> None:
    """What is unknown cannot meet a requirement, and true is no number."""
    with pytest.raises(RequirementError, match="no number for accelerator_utilization"):
        parse_requirement("au>=0").check({"accelerator_utilization": value})


def test_a_key_that_does_not_exist_is_never_a_pass() -> None:
    """A misspelt key must not turn a gate into nothing."""
    with pytest.raises(RequirementError, match=r"no number for operations\.read\.count"):
        parse_requirement("operations.read.count>=0").check({"operations": {"get": {"count": 1}}})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("operations.raed.count>=0", "did you mean 'operations.read.count'?"),
        ("acelerator_utilization>0.9", "did you mean 'accelerator_utilization'?"),
        ("operations.read.latency_ns.p98<1", "did you mean 'operations.read.latency_ns.p9"),
        ("zzzzzzzz>1", "such as au, "),
        ("verdict.bound>1", "no number 'verdict.bound'"),
        ("operations>1", "no number 'operations'"),
        ("cache.cold_achieved>0", "no number 'cache.cold_achieved'"),
    ],
)
def test_a_key_that_no_run_can_have_is_refused_before_the_run(text: str, hint: str) -> None:
    """Not after an hour of measuring; the nearest key is offered."""
    with pytest.raises(UsageError) as caught:
        parse_requirement(text)
    assert hint in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "key",
    [
        "au", "bandwidth", "samples", "wall_s", "idle_by_cause.read", "operations.decode.per_s", "verdict.confidence",
        "discovery.operations.list.count", "errors.get.count", "errors.read.by_name.ENOENT", "idle_if_free.read",
        "cache.client_hit_ratio", "accelerator.busy_ns_per_batch", "operations.put.latency_ns.p999",
    ],
)  # fmt: skip
def test_every_number_a_run_can_have_may_be_required(key: str) -> None:
    """Nested ones, and those by kind of operation, though this run may have none of that kind."""
    assert parse_requirement(f"{key}>=1").bound == 1


def test_every_plain_number_of_the_summary_is_known() -> None:
    """The keys are read from the summary's own fields; none is kept by hand."""
    plain = {field.name for field in fields(Summary) if str(field.type).removesuffix(" | None") in ("int", "float")}
    assert len(plain) > 10
    assert plain <= set(numeric_keys())


def test_all_requirements_that_are_not_met_are_told() -> None:
    """In one line, in the order they were given; those that are met are not in it."""
    asked = [parse_requirement(text) for text in ("au>=0.9", "samples>=1", "iops>5")]
    with pytest.raises(RequirementError) as caught:
        check_all(asked, {"accelerator_utilization": 0.5, "samples_per_s": 2.0, "iops": 1.0})
    assert str(caught.value) == (
        "--require accelerator_utilization>=0.9: not met, accelerator_utilization is 0.5; "
        "--require iops>5: not met, iops is 1"
    )


@pytest.mark.parametrize("text", ["au", "au>=", "au>=high", ">=0.9", "au=0.9", "au>=1-2", "au>=0.9 and more"])
def test_what_is_no_requirement_is_a_usage_error_with_an_example(text: str) -> None:
    """The message repeats what was typed."""
    with pytest.raises(UsageError, match="--require") as caught:
        parse_requirement(text)
    assert text in str(caught.value)


def test_a_requirement_prints_as_it_was_meant() -> None:
    """Its text reads back as the same requirement."""
    requirement = parse_requirement(" au >= 0.90 ")
    assert str(requirement) == "accelerator_utilization>=0.9"
    assert parse_requirement(str(requirement)) == requirement
