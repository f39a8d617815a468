"""The errors that Podium raises on purpose.

A message states the invariant, the value that broke it, and what to do. Every class has the exit code of the command
that ends with it: 2 when the input was wrong, 1 when a step failed.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator


class PodiumError(Exception):
    """Root of every error that Podium raises on purpose."""

    exit_code = 1


class InputError(PodiumError):
    """What the user gave cannot be used, and nothing was computed from it."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration value is unknown, of the wrong type, or contradicts another."""


class DataError(InputError):
    """A data set breaks its declared schema; the message names file, line and field."""


class ModelError(InputError):
    """An entrant cannot be loaded or does not fit the task."""


class StoreError(PodiumError):
    """The artifact store cannot be read or written."""


class DamagedArtifact(StoreError):
    """Stored bytes do not have the digest they were stored under."""


class TrackingError(PodiumError):
    """The MLflow server or database refused or did not answer after retries."""


class StepFailed(PodiumError):
    """A step of the pipeline ended with an error; the message names its log."""


class ComputationFailed(PodiumError):
    """A computation in a process or a pod of its own (a training, a trial, a measurement) ended without a result."""


class OutOfMemory(ComputationFailed):
    """The computation ran out of device or host memory."""


class NonFiniteLoss(ComputationFailed):
    """The loss or a metric became NaN or infinite."""


class ProcessKilled(ComputationFailed):
    """The process was ended by a signal."""


class KilledFromOutside(ProcessKilled):
    """The process was ended by somebody else, so that the same computation may well succeed when it is repeated."""


class TimeLimitExceeded(ComputationFailed):
    """The computation did not finish within its time limit and was stopped."""


class TrialPruned(ComputationFailed):
    """A trial was stopped early, because others did better at the same point."""


class MetricsUnavailable(ComputationFailed):
    """A trial ended without a usable value of its objective."""


class StudyFailed(PodiumError):
    """A study ended without a usable trial."""


class ClusterError(PodiumError):
    """A cluster refused a request, did not answer, or could not do what was asked.

    Attributes:
        status: HTTP status of the answer; None where there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class JobNotStarted(PodiumError):
    """The pods of a Job are refused by the cluster, or do not start in time."""


class RunOutOfBudget(PodiumError):
    """More rows of an inference came to nothing than its error budget allows; it can be continued."""


class BenchmarkError(PodiumError):
    """A measurement could not be taken or cannot support what was asked of it."""


_DISK_FULL = (
    "no space left on device",  # safetensors, Arrow, tokenizers
    "disk quota exceeded",
    "not enough free space to write",  # numpy
    " requested and ",  # numpy: "3000000 requested and 262112 written"
    "database or disk is full",  # sqlite
    "pytorchstreamwriter failed",  # torch.save, whose writer fails for no other reason than the file
    ". unexpected pos",  # torch.save when it closes the file
)
_MACHINE = frozenset({errno.EIO, errno.EROFS, errno.ESTALE, errno.EMFILE, errno.ENFILE})
"""Errors of the machine: a broken or vanished disk, and too many open files."""


def disk_full_message(error: object, place: object = "", elsewhere: str = "") -> str:
    """What to tell a user whose disk, with the file or directory `place`, or whose quota is full.

    `elsewhere` says how to choose another disk, such as "set store=DIRECTORY on another disk".
    """
    holds = f" that holds {place}" if place else ""
    choose = f", or {elsewhere}," if elsewhere else ""
    return (
        f"the disk{holds} is full ({error}); free some space{choose} and run the same command again: what is finished "
        "is kept"
    )


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, says that a disk or a quota is full.

    Many libraries say so only in their message.
    """
    return any(
        (isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT))
        or (not isinstance(one, PodiumError) and any(words in str(one).lower() for words in _DISK_FULL))
        for one in _causes(error)
    )


def is_machine_fault(error: BaseException) -> bool:
    """Whether the machine and not the computation failed: its disk, or its limit of open files or threads."""
    return any(
        (isinstance(one, OSError) and one.errno in _MACHINE) or "can't start new thread" in str(one)
        for one in _causes(error)
        if not isinstance(one, PodiumError)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
