"""The child process that finds out whether torch can be imported and can use a device.

`python -P -m fmbench.doctor.torch_child FOLDER PARENT`. The folder holds

request.json the device
answer.json  what came of it: `Torch`
"""

import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from fmbench import files, processes
from fmbench.errors import UsageError
from fmbench.hardware import Device
from fmbench.protocol import DeviceRules
from fmbench.wording import raised

REQUEST, ANSWER = "request.json", "answer.json"


class Torch(Struct, frozen=True, kw_only=True):
    """What torch is here.

    version: empty when it cannot be imported.
    cuda:    the version of CUDA it is built for; empty for none.
    device:  the device with what only torch knows of it; None when torch cannot use it.
    free:    bytes of a CUDA device's memory that nobody uses; None of a CPU.
    problem: why one of both is not there, and what to do about it.
    """

    version: str = ""
    cuda: str = ""
    device: Device | None = None
    free: int | None = None
    problem: str = ""
    hint: str = ""


def main(path: str, parent: str) -> None:
    """Answer a request; `parent` is the pid of who asks."""
    processes.begin_as_child(int(parent))
    folder = Path(path)
    device = msgspec.json.decode((folder / REQUEST).read_bytes(), type=Device)
    files.write(folder / ANSWER, msgspec.json.encode(asked(device)))


def asked(device: Device) -> Torch:
    """Import torch and use the device."""
    try:
        import torch

        from fmbench.training import devices
    except BaseException as error:  # whatever a half-installed library raises
        return Torch(problem=raised(error), hint="see why with: python -c 'import torch'")
    known = Torch(version=str(torch.__version__), cuda=torch.version.cuda or "")
    try:
        devices.prepare(device.torch_name, DeviceRules(precision="float32"), 1)
        found = devices.identified(device)
        free = torch.cuda.mem_get_info(device.torch_name)[0] if device.kind == "cuda" else None
    except UsageError as error:
        return msgspec.structs.replace(known, problem=error.what, hint=error.hint)
    except Exception as error:
        return msgspec.structs.replace(
            known,
            problem=f"torch cannot use {device.torch_name}: {raised(error)}",
            hint="install a build of torch for this device, or use --device cpu",
        )
    return msgspec.structs.replace(known, device=found, free=free)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
