"""The wrapper of `kfp.local`: the compiled graph on this machine, with errors and signals handled.

kfp.local 2.17 keeps no logs, raises only a summary, and leaves children running when it is stopped. Steps
write their own logs and status (see `podium.stages.context`); this module reads them back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from types import FrameType

import psutil

from podium.errors import InputError, PodiumError, StepFailed
from podium.local.rundir import RunDirectory
from podium.stages.run_form import RunForm

_GRACE_SECONDS = 10.0


def run_pipeline(form: RunForm, directory: RunDirectory) -> None:
    """Run the champion pipeline in step processes of this machine.

    Raises:
        InputError: a step found its input unusable.
        StepFailed: a step failed; the message is the step's own, with the path of its log.
        KeyboardInterrupt: the run was stopped; every child has ended.
    """
    failed = False
    with (
        _stopping_children(),
        _environment(directory),
        directory.kfp_log.open("a", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            _run(form, directory)
        except Exception:
            traceback.print_exc(file=log)
            failed = True
    if failed:
        raise _failure(directory)


def _run(form: RunForm, directory: RunDirectory) -> None:
    from kfp import local

    from podium.pipelines.champion.pipeline import champion

    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(directory.path / "kfp"),
        workspace_root=str(directory.path / "workspace"),
    )
    champion(**{name: list(value) if isinstance(value, tuple) else value for name, value in form})


def _failure(directory: RunDirectory) -> PodiumError:
    failed = [step for step in directory.steps() if step.status == "failed" and step.error]
    dead = [step for step in directory.steps() if step.status == "running"]
    if failed:
        step = failed[0]
        error = step.error or {}
        cls = InputError if error["exit_code"] == InputError.exit_code else StepFailed
        return cls(f"step {step.step}: {error['message']}\n  log: {directory.log_of(step.step)}")
    if dead:
        step = dead[0]
        return StepFailed(
            f"step {step.step}: its process was killed (out of memory, or by hand); run the same command again "
            f"to go on from what is stored\n  log: {directory.log_of(step.step)}"
        )
    tail = "\n".join(f"  {line}" for line in directory.kfp_log.read_text().splitlines()[-15:])
    return StepFailed(f"kfp.local could not run the pipeline; the end of {directory.kfp_log}:\n{tail}")


@contextlib.contextmanager
def _environment(directory: RunDirectory) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(directory.environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _stopping_children() -> Iterator[None]:
    """On SIGINT or SIGTERM end every descendant, then raise KeyboardInterrupt."""

    def stop(signum: int, frame: FrameType | None) -> None:
        threading.Thread(target=end_children, daemon=False).start()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_children(grace_seconds: float = _GRACE_SECONDS) -> None:
    """Ask every descendant process to end, and kill those that have not after `grace_seconds`."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.terminate()
    for child in psutil.wait_procs(children, timeout=grace_seconds)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
