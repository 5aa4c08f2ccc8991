"""Where tensors are computed: the CPU, or the accelerator that `device` names, once it is there and fits the work."""

import torch

from darkmatter.params.types import ParamsError


def usable(name: str, double: bool = True) -> torch.device:
    """The device of this name (cpu, cuda, cuda:N, mps).

    Args:
        double: the work needs float64, which mps lacks.

    Raises:
        ParamsError: this torch or this machine has no such device, or it cannot do the work.
    """
    device, build = torch.device(name), f"torch {torch.__version__}"
    match device.type:
        case "cuda" if torch.version.cuda is None and not torch.cuda.is_available():
            refuse(name, f"{build} is built for the CPU; `darkmatter doctor --device gpu` names the build to install")
        case "cuda" if not torch.cuda.is_available():
            refuse(name, f"{build} finds no GPU or no driver; `nvidia-smi` must list one")
        case "cuda" if (device.index or 0) >= (count := torch.cuda.device_count()):
            refuse(name, f"the last GPU here is cuda:{count - 1}")
        case "mps" if double:
            refuse(name, "it has no float64, in which sums are kept here")
        case "mps" if not torch.backends.mps.is_available():
            refuse(name, f"{build} finds no Metal device")
    return device


def refuse(name: str, reason: str) -> None:
    raise ParamsError(
        f"device {name}: {reason}. Or choose another: `device` in conf/profile/ and `darkmatter params`, --device of a "
        "command."
    )
