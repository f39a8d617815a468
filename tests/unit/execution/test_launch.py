from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from podium.errors import ComputationFailed, KilledFromOutside, ProcessKilled
from podium.execution.failures import Purpose
from podium.execution.launch import Process
from tests.support import PATIENCE_SECONDS, alive, assert_gone, eventually


def await_line(log: Path) -> str:
    eventually(lambda: log.exists() and log.read_text().endswith("\n"))
    return log.read_text()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_output_environment_directory_and_session(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log.txt"
    code = "import os; print(os.environ['EXTRA'], os.getcwd(), os.getsid(0) == os.getpid(), flush=True)"
    environment = {**os.environ, "EXTRA": "given"}
    with Process(python(code), log, environment=environment, directory=tmp_path) as process:
        assert process.wait() == 0
    assert log.read_text() == f"given {tmp_path} True\n"


def test_a_foreign_program_gets_an_empty_standard_input(tmp_path: Path) -> None:
    with Process(["cat"], tmp_path / "log.txt", watches_parent=False) as process:
        assert process.wait(PATIENCE_SECONDS) == 0


def test_what_still_runs_has_no_exit_code_and_is_gone_at_the_end_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    code = """
        import subprocess, time
        print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid, flush=True)
        time.sleep(600)
        """
    with Process(python(code), log) as process:
        child = int(await_line(log))
        assert process.wait(0.01) is None
    assert not alive(process.pid)
    assert_gone(child)


def test_a_child_that_outlives_its_parent_is_ended_too(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with Process(python("import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"), log) as process:
        assert process.wait() == 0
        child = int(log.read_text())
    assert_gone(child)


def test_grace_lets_a_program_end_by_itself(tmp_path: Path) -> None:
    code = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        print("ready", flush=True)
        time.sleep(600)
        """
    with Process(python(code), tmp_path / "log.txt") as process:
        await_line(tmp_path / "log.txt")
        process.stop(grace=PATIENCE_SECONDS)
        assert process.wait() == 7


def test_failure_names_the_purpose_and_the_end_of_the_log(tmp_path: Path) -> None:
    purpose = Purpose("the profile")
    with Process(python("print('last words'); raise SystemExit(3)"), tmp_path / "log.txt", purpose=purpose) as process:
        error = process.failure()
    assert type(error) is ComputationFailed
    assert "the profile ended with exit code 3" in str(error) and "| last words" in str(error)


@pytest.mark.parametrize(("number", "kind"), [(9, KilledFromOutside), (11, ProcessKilled)])
def test_failure_tells_signals_apart(tmp_path: Path, number: int, kind: type[Exception]) -> None:
    with Process(python(f"import os; os.kill(os.getpid(), {number})"), tmp_path / "log.txt") as process:
        assert type(process.failure()) is kind


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ComputationFailed, match=r"the profile: '/no/such/program' cannot be run"):
        Process(["/no/such/program"], tmp_path / "log.txt", purpose=Purpose("the profile"))


LAUNCHER = """
import sys, time
from pathlib import Path
from podium.execution.launch import Process
from tests.support import PATIENCE_SECONDS, alive, assert_gone, eventually
child = '''
import subprocess, time
from podium.execution import program
def work(spec):
    print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid, flush=True)
    time.sleep(600)
program.run(program.argument_parser("toy", "").parse_args(), bytes.decode, work)
'''
log = Path(sys.argv[1])
log.with_name("spec.json").write_text("{}")
files = ["--spec", str(log.with_name("spec.json")), "--result", str(log.with_name("result.json"))]
process = Process([sys.executable, "-c", child, *files], log)
print(process.pid, flush=True)
time.sleep(600)
"""


def test_a_program_and_its_children_end_when_the_launcher_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with subprocess.Popen([sys.executable, "-c", LAUNCHER, str(log)], stdout=subprocess.PIPE, text=True) as launcher:
        try:
            assert launcher.stdout is not None
            program = int(launcher.stdout.readline())
            child = int(await_line(log))
            assert alive(program) and alive(child)
        finally:
            launcher.kill()
    assert_gone(program)
    assert_gone(child)


def test_a_program_started_by_hand_watches_nobody() -> None:
    code = "import time; from podium.execution.ending import end_with_parent; end_with_parent(); time.sleep(0.3)"
    assert subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, check=False).returncode == 0


KILLER = """
import os, signal, sys
from podium.execution import ending
# Killed in the middle of killing another process.
ending.kill_descendants = lambda pid: os.kill(os.getpid(), signal.SIGKILL)
ending.kill_tree(int(sys.argv[1]))
"""


def test_a_process_still_runs_if_its_killer_is_killed_before_it(tmp_path: Path) -> None:
    """It must notice that its parent is gone, which a stopped process cannot."""
    with Process(["sleep", "600"], tmp_path / "log.txt", watches_parent=False) as process:
        subprocess.run([sys.executable, "-c", KILLER, str(process.pid)], check=False)
        assert psutil.Process(process.pid).status() != psutil.STATUS_STOPPED
