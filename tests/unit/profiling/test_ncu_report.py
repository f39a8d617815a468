import pytest

from podium.profiling.ncu_report import Metric, read_csv
from podium.profiling.nsys_report import InvalidReport

TABLE = """==PROF== Connected to process 7
==PROF== Disconnected
"Kernel Name","ID","Host Name","gpu__time_duration.sum","device__attribute_name","empty"
"","","","nsecond","",""
"sgemm(float*, int)","0","here","1,234.5","NVIDIA A100",""
"softmax(float*)","1","here","7","NVIDIA A100",""
"""


def test_launches_are_read_by_column_with_their_units() -> None:
    first, second = read_csv(TABLE.splitlines())
    assert first.kernel == "sgemm(float*, int)"
    assert first.metrics == {
        "gpu__time_duration.sum": Metric(value=1234.5, unit="ns"),
        "device__attribute_name": Metric(value="NVIDIA A100"),
    }
    assert second.metrics["gpu__time_duration.sum"].value == 7


def test_a_table_without_units_has_all_its_launches() -> None:
    rows = [line for line in TABLE.splitlines() if not line.startswith('"","')]
    assert [one.kernel for one in read_csv(rows)] == ["sgemm(float*, int)", "softmax(float*)"]


@pytest.mark.parametrize("text", ["", "==ERROR== no kernels\n", '"ID","Name"\n"0","x"\n'])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(InvalidReport, match="must have the columns"):
        list(read_csv(text.splitlines()))
