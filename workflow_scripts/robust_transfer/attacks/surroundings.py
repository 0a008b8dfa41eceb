"""Around every attack: check what is given, and leave the model as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def attacked(model: nn.Module) -> Iterator[nn.Module]:
    """Put a model into eval mode, with gradients on, for the length of an attack.

    BatchNorm then uses its running statistics and leaves them alone, and dropout is off. The
    training flag of each module is restored by itself, since a model may hold some modules in
    eval mode on purpose.

    Args:
        model: any module.

    Yields:
        The module to call: see `inner_module`.
    """
    model = inner_module(model)
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield model
    finally:
        for module in training:
            module.training = True


def inner_module(model: nn.Module) -> nn.Module:
    """Return the module inside a DistributedDataParallel wrapper, any other model itself.

    The wrapper would wait for weight gradients that an attack never computes.

    Args:
        model: any module.

    Returns:
        The module that computes.
    """
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def logits_without_graph(model: nn.Module, images: Tensor) -> Tensor:
    """Return logits for comparison, not for differentiation.

    Args:
        model: in eval mode.
        images: (batch, ...).

    Returns:
        (batch, classes) float32 or float64.
    """
    with torch.no_grad():
        logits = model(images)
    if torch.is_autocast_enabled(images.device.type):
        # Autocast keeps its copies of the weights for the whole context; those made here have no
        # history, and a training step in the same context would leave its weights no gradient.
        torch.clear_autocast_cache()
    return logits if logits.dtype == torch.float64 else logits.float()


def prepared(images: Tensor, labels: Tensor, *, check: bool) -> tuple[Tensor, Tensor]:
    """Return images and labels ready to be attacked.

    Args:
        images: (batch, ...) floating point in [0, 1].
        labels: (batch,) int64.
        check: look at the values too, which on a GPU waits for it.

    Returns:
        The images without history, in float32 or float64 (in bfloat16 a small step would round
        away), and the labels; both usable for gradients even when they were made in inference
        mode.

    Raises:
        ValueError: types or lengths do not fit, images leave [0, 1] or are not numbers, or a
            label is negative.
    """
    if not images.is_floating_point():
        raise ValueError(f"images are {images.dtype}, expected floats in [0, 1]: divide by 255.")
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}, expected one int64 for "
            f"each of {len(images)} images."
        )
    if check and len(images):
        _check_values(images, labels)
    with torch.inference_mode(False):
        dtype = images.dtype if images.dtype == torch.float64 else torch.float32
        return images.detach().to(dtype, copy=True), labels.clone()


def _check_values(images: Tensor, labels: Tensor) -> None:
    """Compare extremes with what is allowed; one wait for the device."""
    extremes = torch.stack([*images.detach().aminmax(), labels.min()])
    low, high, first_label = extremes.tolist()
    if not (low >= 0 and high <= 1):  # also true of NaN
        raise ValueError(
            f"images span [{low:.3g}, {high:.3g}], expected [0, 1]. "
            "Pass raw pixels; the model normalises them inside."
        )
    if first_label < 0:
        raise ValueError(f"labels hold {first_label:.0f}, expected class indices from 0.")


def check_labels(labels: Tensor, logits: Tensor, *, name: str = "labels") -> None:
    """Refuse labels that the model has no output for; waits for the device.

    Args:
        labels: (batch,) int64.
        logits: (batch, classes).
        name: what the message calls them.

    Raises:
        ValueError: a label is not below the number of classes.
    """
    if not len(labels):
        return
    classes = logits.shape[1]
    low, high = torch.stack(labels.aminmax()).tolist()
    if low < 0 or high >= classes:
        raise ValueError(
            f"{name} span [{low}, {high}], but the model has {classes} outputs: "
            f"expected 0 to {classes - 1}."
        )


def check_sizes(**sizes: float) -> None:
    """Refuse negative or non-finite sizes.

    Args:
        **sizes: value by name.

    Raises:
        ValueError: names the first one that is wrong.
    """
    for name, value in sizes.items():
        if not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ValueError(f"{name} is {value!r}, expected a number from 0.")
