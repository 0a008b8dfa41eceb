"""Reading the tensors of a pickle that holds more, without running any of it.

`python -m` this module, with a checkpoint's path, prints its tensors as safetensors. It is
started as a process of its own that can neither write files, start programs nor reach a network.
Every name that a pickle asks for and that does not rebuild a tensor is replaced by an object that
does nothing.
"""

import os
import pickle
import resource
import sys
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save

_TENSORS = {
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
}
_FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
              "os.remove", "os.rename", "os.rmdir", "os.mkdir", "shutil.", "ctypes.")  # fmt: skip


class Inert:
    """Whatever a pickle asked for: can be called, filled and changed, and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> "Inert":
        """Return another of its kind."""
        return Inert()

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def append(self, _: Any) -> None:
        """Take part in a list, and forget."""

    def extend(self, _: Any) -> None:
        """Likewise."""


class TensorUnpickler(pickle.Unpickler):
    """Finds the names that rebuild tensors; for any other, `Inert`."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for, or `Inert`."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in _TENSORS or (module == "torch" and name.endswith("Storage")):
            return super().find_class(module, name)
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        return Inert


def tensors_of(content: Any) -> dict[str, torch.Tensor]:
    """Flatten nested mappings to `outer/inner` keys, and keep the tensors alone."""
    found: dict[str, torch.Tensor] = {}
    pending = [("", content)]
    while pending:
        prefix, node = pending.pop()
        if isinstance(node, torch.Tensor):
            found[prefix] = node.detach().contiguous()
        elif isinstance(node, dict):
            pending += [(f"{prefix}/{key}" if prefix else str(key), node[key]) for key in node]
    return found


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what a reader of a file has no need of."""
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    flags = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or flags or event.startswith(_FORBIDDEN):
        raise PermissionError(f"{event} is not allowed while a checkpoint is read")


def main(path: str) -> None:
    """Print the tensors of a checkpoint as safetensors on standard output."""
    output = sys.stdout.buffer
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    sys.addaudithook(_refuse)
    module = SimpleNamespace(Unpickler=TensorUnpickler, load=pickle.load, __name__="inert")
    content = torch.load(path, map_location="cpu", pickle_module=module, weights_only=False)
    output.write(save({name: tensor.clone() for name, tensor in tensors_of(content).items()}))


if __name__ == "__main__":
    main(sys.argv[1])
