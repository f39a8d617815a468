"""Who holds something in the store: a process, named so that its death can be told.

Process ids mean something only within one pid namespace of one boot of one machine, so that is what the
host part names: containers that share a host name are still told apart.
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


class Owner(BaseModel):
    """A process.

    Attributes:
        host: machine, boot and pid namespace; process ids of different hosts are never compared.
        pid: process id on that host.
        started: start of the process by the host's clock, in seconds; tells a reused pid from its former holder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> Owner:
        """The calling process."""
        return cls(host=_host(), pid=os.getpid(), started=psutil.Process().create_time())

    @property
    def host_mark(self) -> str:
        """Twelve digits that stand for the host in file names."""
        return digest_bytes(self.host.encode())[:12]

    def is_dead(self) -> bool:
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
    return "/".join(
        (
            socket.gethostname(),
            boot.read_text().strip() if boot.exists() else "",
            str(namespace.readlink()) if namespace.is_symlink() else "",
        )
    )
