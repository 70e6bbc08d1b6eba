"""The devices that work runs on, how images lie in their memory, and how they are named in records."""

import torch

from gan_core.errors import ConfigError

DEVICES = ("cpu", "cuda", "mps")


def default_device() -> torch.device:
    """Where samples are drawn and measured: the current CUDA device where there is one, else the CPU.

    Never Apple's GPU: it has no float64, which statistics are made in, and figures of a Mac are to be those
    of other machines.
    """
    return _current_cuda() if torch.cuda.is_available() else torch.device("cpu")


def training_device(name: str | None = None, processes: int = 1) -> torch.device:
    """Where a GAN is trained: the device of this name, else CUDA where there is one, else Apple's GPU where
    one process trains alone, else the CPU.

    Raises `ConfigError` for a name that there is not, a device that torch does not find, and several
    processes on Apple's GPU.
    """
    check_device(name, processes)
    if name == "cuda" or (name is None and torch.cuda.is_available()):
        return _current_cuda()
    if name == "mps" or (name is None and processes == 1 and torch.backends.mps.is_available()):
        return torch.device("mps", 0)
    return torch.device("cpu")


def check_device(name: str | None, processes: int = 1) -> None:
    """Raise `ConfigError` where so many processes cannot train on the device of this name."""
    if name not in (None, *DEVICES):
        raise ConfigError(f"there is no device `{name}`: choose one of {', '.join(DEVICES)}, or leave it out")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device `cuda` was asked for, but torch finds no GPU here: leave it out")
    if name == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device `mps` was asked for, but torch finds no GPU of Apple here: leave it out")
    if name == "mps" and processes > 1:
        raise ConfigError(
            f"device `mps` is one GPU, which {processes} processes cannot share: train in one process, or "
            "choose the device `cpu`"
        )


def image_memory_format(device: torch.device) -> torch.memory_format:
    """How images and the weights of convolutions lie in a device's memory.

    Channels last: convolutions run 1.1 to 3 times faster so on a CPU, and faster on CUDA. Not on Apple's GPU,
    where torch's backward pass of batch norm failed for this layout (pytorch#188371, mended in June 2026).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def describe_device(device: torch.device) -> str:
    """`cpu (2 threads)` or the name of the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"{torch.backends.mps.get_name()} (mps)"
    return f"{device.type} ({torch.get_num_threads()} threads)"


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself; a processor that does not is many times slower so.

    Never Apple's GPU: what it gains there was never measured.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "mps":
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _current_cuda() -> torch.device:
    """By number: another thread has another current one."""
    return torch.device("cuda", torch.cuda.current_device())
