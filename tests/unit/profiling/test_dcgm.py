import signal

import pytest

from podium.profiling.dcgm import dcgm_paused


class Dcgmi:
    def __init__(self, there: bool = True) -> None:
        self.there = there
        self.asked: list[str] = []

    def find(self, name: str) -> str | None:
        return f"/bin/{name}" if self.there else None

    def ask(self, argv: list[str]) -> str:
        self.asked.append(argv[-1])
        return "Successfully done."


def test_it_is_paused_for_the_body_and_resumes() -> None:
    dcgmi = Dcgmi()
    with dcgm_paused(dcgmi.find, dcgmi.ask) as paused:
        assert paused and dcgmi.asked == ["--pause"]
    assert dcgmi.asked == ["--pause", "--resume"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_it_resumes_after_an_error(error: type[BaseException]) -> None:
    dcgmi = Dcgmi()
    with pytest.raises(error), dcgm_paused(dcgmi.find, dcgmi.ask):
        raise error
    assert dcgmi.asked == ["--pause", "--resume"]


def test_it_resumes_when_this_process_is_asked_to_end() -> None:
    dcgmi = Dcgmi()
    with pytest.raises(SystemExit), dcgm_paused(dcgmi.find, dcgmi.ask):
        signal.raise_signal(signal.SIGTERM)
    assert dcgmi.asked == ["--pause", "--resume"]


def test_without_dcgmi_nothing_is_done() -> None:
    dcgmi = Dcgmi(there=False)
    with dcgm_paused(dcgmi.find, dcgmi.ask) as paused:
        assert not paused
    assert not dcgmi.asked
