"""Checkpoints of others: their tensors, safely read, under the keys of the plain network.

Read are safetensors, plain state dicts, and the format of the `robustness` library: a mapping with
`model` (or `state_dict`), whose keys carry the prefix of DataParallel, the network (once or twice
wrapped), a normaliser, and the attacker's copy of all of it, which is left out.
"""

import os
import pickle
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor

from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.backbones.backbone import Backbone
from robust_transfer.errors import DataError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HOLDERS = ("model", "state_dict", "model_state_dict", "net")
# Older checkpoints of DenseNet spell `norm.1`, which no module can be called any more.
_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\..*)$")


@dataclass(frozen=True)
class Checkpoint:
    """What was read.

    Attributes:
        state: tensors under the keys of the plain network.
        mean: of the normaliser that the checkpoint holds, a channel; None where it holds none.
        std: likewise.
        form: which form it had, in words.
    """

    state: dict[str, Tensor]
    mean: list[float] | None
    std: list[float] | None
    form: str


def read_checkpoint(path: str | Path, *, unpickle: bool = False) -> Checkpoint:
    """Read a checkpoint; nothing that it holds is run.

    Args:
        path: `.safetensors`, or what `torch.save` wrote.
        unpickle: where the file holds more than `weights_only` reads, take its tensors and leave
            all else inert, in a process that can write nothing and reach no network.

    Raises:
        DataError: no checkpoint, damaged, or one that needs `unpickle`.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        try:
            return _plain(load_file(path), str(path))
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: no safetensors file ({error}).") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols: read or refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
        return _plain(content, str(path))
    except pickle.UnpicklingError as error:
        if unpickle:
            return _plain(_tensors_elsewhere(path), str(path))
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        asks = f"asks for {wanted[1]}" if wanted else "holds more than tensors"
        raise DataError(
            f"{path}: this pickle {asks}; it was not run.\n  If you know where it is from, set "
            "`unpickle: true` beside its origin: its tensors are then read in a process of their "
            "own, and all else in it is left inert. A file of safetensors needs no such thing."
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise DataError(
            f"{path}: this is no checkpoint, or it is damaged: {error}.\n  Get it again."
        ) from None


def _tensors_elsewhere(path: Path) -> dict[str, Any]:
    """Read the tensors of a pickle in a process of their own."""
    library = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "robust_transfer.backbones.inert", str(path.absolute())],
        env={"PYTHONPATH": library, "PATH": os.defpath},
        cwd=path.parent,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise DataError(f"{path}: no tensors can be read from this pickle: {' '.join(reason)}.")
    nested: dict[str, Any] = {}
    for name, tensor in load(done.stdout).items():
        *above, last = name.split("/")
        node = nested
        for part in above:
            node = node.setdefault(part, {})
        node[last] = tensor
    return nested


def _plain(content: Any, where: str) -> Checkpoint:
    """Find the state in what was read, and take wrappers off its keys."""
    holder = next(
        (
            key
            for key in _HOLDERS
            if isinstance(content, dict) and isinstance(content.get(key), dict)
        ),
        None,
    )
    state = content[holder] if holder else content
    if not isinstance(state, dict) or not state:
        raise DataError(f"{where}: it holds no state of a network.")
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if not holder and len(tensors) < len(state):
        raise DataError(
            f"{where}: not a state of a network: it holds {', '.join(map(str, state))[:120]}."
        )
    form = ["robustness" if any(".attacker." in f".{key}" for key in tensors) else "state dict"]
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
        form.append("DataParallel")
    mean, std = (tensors.get(f"normalizer.{name}") for name in ("new_mean", "new_std"))
    tensors = {
        key: value
        for key, value in tensors.items()
        if not key.startswith(("attacker.", "normalizer."))
    }
    while tensors and all(key.startswith("model.") for key in tensors):
        tensors = {key.removeprefix("model."): value for key, value in tensors.items()}
        form.append("wrapped")
    return Checkpoint(
        {_DENSENET.sub(r"\1\2", key): value for key, value in tensors.items()},
        None if mean is None else mean.flatten().tolist(),
        None if std is None else std.flatten().tolist(),
        ", ".join(form),
    )


def backbone_of(
    checkpoint: Checkpoint,
    architecture: str,
    *,
    image_size: int,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    where: object = "checkpoint",
) -> Backbone:
    """Make a backbone of a checkpoint; every tensor must fit.

    Args:
        checkpoint: as read.
        architecture: of the network.
        image_size: network input, pixels a side.
        mean: of the inputs, a channel; None: the checkpoint's own, or ImageNet's.
        std: likewise.
        where: what to call the checkpoint in a message.

    Raises:
        DataError: it is of another architecture, or holds numbers that are not finite.
    """
    heads = [value for value in checkpoint.state.values() if value.ndim == 2]
    backbone = make_backbone(
        architecture,
        classes=len(heads[-1]) if heads else 1000,
        image_size=image_size,
        mean=mean or checkpoint.mean or list(IMAGENET_MEAN),
        std=std or checkpoint.std or list(IMAGENET_STD),
        seed=None,
    )
    expected = backbone.network_state()
    # Checkpoints older than PyTorch 0.4.1 count no batches; nothing reads the count.
    counts = {k: torch.tensor(0) for k in expected if k.endswith("num_batches_tracked")}
    state = counts | checkpoint.state
    _check_fit(expected, state, architecture, where)
    backbone.load_network_state(state)
    return backbone.eval()


def _check_fit(
    expected: dict[str, Tensor], state: dict[str, Tensor], architecture: str, where: object
) -> None:
    """Refuse missing, foreign, misshapen and broken tensors, each by name."""
    problems = [f"no {key}" for key in expected.keys() - state.keys()]
    problems += [f"{key}, which it has not" for key in state.keys() - expected.keys()]
    problems += [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    if problems:
        raise DataError(
            f"{where}: not a {architecture}: {'; '.join(sorted(problems)[:3])}"
            + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
            + ".\n  Correct the architecture, or the checkpoint."
        )
    broken = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise DataError(f"{where}: {broken[0]} holds numbers that are not finite.")
