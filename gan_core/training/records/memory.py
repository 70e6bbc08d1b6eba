"""The most memory that a training held."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# In a manifest's details: by `host` and `gpu`, in bytes.
MEMORY = "peak_memory_bytes"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
CLEAR_PEAK = "5"  # see proc(5)


class PeakMemory:
    """From its making on. Of the host it is this process's resident memory: on Linux the peak, elsewhere
    unknown, as there a process's peak is that of its whole life."""

    def __init__(self, device: torch.device):
        self.device = device
        self.cleared = False
        with suppress(OSError):
            CLEAR.write_text(CLEAR_PEAK)
            self.cleared = True
        if device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(device)

    def bytes(self) -> dict[str, int]:
        """By `host` and `gpu`, what is known so far."""
        found = {}
        if self.cleared and (host := _resident_peak()):
            found["host"] = host
        if self.device.type == "cuda":
            import torch

            found["gpu"] = torch.cuda.max_memory_reserved(self.device)
        return found


def _resident_peak() -> int | None:
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return None
