"""What to look at first, and what got slower."""

from __future__ import annotations

import pytest

from podium.errors import InputError
from podium.profiling.diff import diff_profiles
from podium.profiling.findings import findings_of
from podium.report.profile import diff_text
from tests.unit.profiling.samples import kernel, phase, profile_record


def test_findings_are_ranked_by_time_and_say_how_to_see_their_figures() -> None:
    found = findings_of(profile_record())
    codes = [one.code for one in found]
    assert {"GROUP", "COPIES", "HOST", "TOKENISE", "SPREAD", "IDLE_CORES", "OBSERVER", "BELOW_ROOF"} == set(codes)
    assert [one.seconds for one in found] == sorted((one.seconds for one in found), reverse=True)
    assert all(one.query.startswith("jq '.") and one.query.endswith("record.json") for one in found)
    tokenising = next(one for one in found if one.code == "TOKENISE")
    assert tokenising.text == "Tokenisation takes 3 ms of 20 ms (15%)"
    groups = next(one for one in found if one.code == "GROUP")
    assert groups.seconds == pytest.approx(0.6 * 0.75 * 0.016), "its share of the operators, on unprofiled time"


def test_what_stays_below_its_threshold_is_no_finding() -> None:
    quiet = profile_record(
        figures={"iteration_seconds": 0.02, "busy_cores": 1.9},
        groups=(),
        roofline=None,
        observers=(),
        phases=(phase("tokenise", 0.001, 0.05), phase("forward", 0.019, 0.95)),
    )
    assert findings_of(quiet) == ()


def test_kernels_gaps_and_transfers_of_a_gpu() -> None:
    figures = {"iteration_seconds": 0.02, "kernel_gap_seconds": 0.005, "host_device_copy_seconds": 0.0001}
    found = findings_of(profile_record(kernels=(kernel("sgemm", "memory"),), figures=figures))
    said = {one.code: one.text for one in found}
    assert "bound by memory" in said["KERNEL"] and "5 ms (25%)" in said["GAPS"] and "TRANSFERS" not in said


def test_a_language_model_has_its_time_per_token() -> None:
    work = {"batch_size": 2, "output_tokens": 17}
    found = findings_of(
        profile_record(workload=work, phases=(phase("decode", 0.016, 0.8), phase("prefill", 0.004, 0.2)))
    )
    assert "0.5 ms per token" in next(one.text for one in found if one.code == "DECODE")
    found = findings_of(profile_record(workload=work | {"kind": "prompted"}, phases=(phase("decode", 0.016, 0.8),)))
    assert next(one.text for one in found if one.code == "DECODE").endswith("16 ms (80%)"), "of unknown length"


def test_a_slower_model_is_told_beyond_noise_and_the_rest_is_not() -> None:
    found = diff_profiles(profile_record(), profile_record(scale=1.5))
    changes = {one.name: one for one in found.changes}
    assert changes["forward"].real and changes["forward"].ratio.value == pytest.approx(1.5)  # type: ignore[union-attr]
    assert changes["tokenise"].real is False
    assert changes["matrix product"].ratio is None, "one trace says nothing of its own noise"
    text = diff_text(found)
    assert "slower" in text and "within noise" in text and "matrix product" in text
    assert found.verdict == "pass" and found.notes == ()


@pytest.mark.parametrize(
    ("scale", "check", "verdict"),
    [
        (1.5, "forward > 1.1 * baseline", "fail"),
        (0.5, "forward > 1.1 * baseline", "pass"),
        (1.1, "forward > 1.1 * baseline", "cannot judge"),
        (1.5, "iteration > 0.001", "fail"),
        (1.0, "tokenise + forward > baseline.forward", "fail"),
    ],
)
def test_checks_fail_only_beyond_noise(scale: float, check: str, verdict: str) -> None:
    found = diff_profiles(profile_record(), profile_record(scale=scale), [check])
    assert (found.verdict, found.checks[0].verdict) == (verdict, verdict)
    assert (found.checks[0].reason != "") is (verdict == "cannot judge")


def test_a_check_on_something_else_or_a_profile_without_processes_is_refused() -> None:
    with pytest.raises(InputError, match="there is no quantity 'speed'"):
        diff_profiles(profile_record(), profile_record(), ["speed > 1"])
    with pytest.raises(InputError, match="times of two processes"):
        diff_profiles(profile_record(samples=()), profile_record())
    with pytest.raises(InputError, match="above zero"):
        diff_profiles(profile_record(), profile_record(), ["forward - forward > 1"])


def test_what_else_differs_is_noted() -> None:
    other = profile_record(hardware={"cpu": "y"}, workload={**profile_record().workload, "batch_size": 8})
    notes = " ".join(diff_profiles(profile_record(), other).notes)
    assert "the hardware differs: cpu x and y" in notes and "batch_size 1 and 8" in notes
