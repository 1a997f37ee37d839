"""``--require``: what a run must reach."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.errors import RequirementError, UsageError
from ioprof.requirement import parse_requirement

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
    with pytest.raises(RequirementError, match=r"operations\.raed\.count"):
        parse_requirement("operations.raed.count>=0").check({"operations": {"read": {"count": 1}}})


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
