"""Names for processes, by which other processes can tell whether they have ended.

A process id means something only within one pid namespace of one boot of one machine. The host part names that, so
containers that share a host name are still distinguished.
"""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from podium.keys import digest_bytes

_START_TOLERANCE_SECONDS = 2.0


class ProcessIdentity(BaseModel):
    """A process that holds something: a lease, a trial, a temporary file.

    Attributes:
        host: machine, boot and pid namespace; process ids of different hosts are never compared.
        pid: process id on that host.
        started: when the process started by the host's clock, in seconds; a reused process id has another start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> ProcessIdentity:
        return cls(host=_host(), pid=os.getpid(), started=psutil.Process().create_time())

    @property
    def host_mark(self) -> str:
        """Twelve digits that identify the host in file names."""
        return digest_bytes(self.host.encode())[:12]

    def has_ended(self) -> bool:
        """Whether the process certainly ended; False where that cannot be known, as on another host."""
        if self.host != _host():
            return False
        try:
            process = psutil.Process(self.pid)
            zombie = process.status() == psutil.STATUS_ZOMBIE
            return zombie or abs(process.create_time() - self.started) > _START_TOLERANCE_SECONDS
        except psutil.NoSuchProcess:
            return True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.split('/')[0]}"


@functools.cache
def _host() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    known = boot.read_text().strip() if boot.exists() else ""
    return f"{socket.gethostname()}/{known}/{namespace.readlink() if namespace.is_symlink() else ''}"
