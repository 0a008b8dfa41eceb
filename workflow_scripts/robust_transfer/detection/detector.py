"""One type for every detector: pixels in [0, 1] and classes from 0; frozen means frozen."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes

Target = dict[str, Tensor]


class Detector(nn.Module):
    """A detection network of torchvision on a pretrained backbone.

    Args:
        network: of torchvision.
        frozen: modules that take no gradient and stay in eval mode, also while the rest trains.
        loss_names: of the losses that training adds up, in order.
        first_label: the network's label of the first class: 1 where 0 is the background.
        masks: whether it finds masks too.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        frozen: Iterable[nn.Module],
        loss_names: Sequence[str],
        first_label: int,
        masks: bool,
    ) -> None:
        super().__init__()
        self.network, self.frozen = network, tuple(frozen)
        self.loss_names, self.first_label, self.masks = tuple(loss_names), first_label, masks
        for part in self.frozen:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Detector":
        """Set training mode, but for the parts that are kept frozen."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def losses(self, images: list[Tensor], targets: list[Target]) -> Tensor:
        """Return the losses of a batch, in the order of `loss_names`; in training mode.

        Args:
            images: (3, height, width) float in [0, 1] each; sizes may differ.
            targets: one an image: `boxes` (k, 4) float, pixels; `classes` (k,) int64; `masks`
                (k, height, width) uint8, where the detector finds masks.
        """
        named = [
            {name: value for name, value in target.items() if name != "classes"}
            | {"labels": target["classes"] + self.first_label}
            for target in targets
        ]
        found = self.network(images, named)
        return torch.stack([found[name] for name in self.loss_names])

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Find objects; in eval mode.

        Args:
            images: (3, height, width) float in [0, 1] each; sizes may differ.

        Returns:
            One an image, best first: `boxes` (k, 4), pixels of the image; `scores` (k,) in [0, 1];
            `classes` (k,) int64; with masks, `masks` (k, 1, m, m): the probability of the object
            at each point of its box.
        """
        found = self.network(images)
        for each in found:
            each["classes"] = each.pop("labels") - self.first_label
        return found


class SceneTransform(GeneralizedRCNNTransform):
    """Normalises and resizes scenes on the way in, and boxes on the way out.

    Masks come out as they are: to paste all of a batch into whole images takes gigabytes.

    Args:
        train_sizes: shorter sides, pixels, of which training draws one an image.
        test_size: shorter side of detection.
        max_size: the longer side is never more.
        mean: of the source, one number a channel, in [0, 1].
        std: likewise.
        size_divisible: batches are padded to multiples of it, pixels.
    """

    def __init__(
        self,
        *,
        train_sizes: Sequence[int],
        test_size: int,
        max_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        size_divisible: int,
    ) -> None:
        # torchvision takes the last size for tests, and would train on it too.
        sizes = [*train_sizes, test_size]
        super().__init__(sizes, max_size, list(mean), list(std), size_divisible=size_divisible)

    def torch_choice(self, k: list[int]) -> int:
        """Draw a size for training."""
        return super().torch_choice(k[:-1])

    def postprocess(
        self,
        result: list[dict[str, Tensor]],
        image_shapes: list[tuple[int, int]],
        original_image_sizes: list[tuple[int, int]],
    ) -> list[dict[str, Tensor]]:
        """Bring boxes back to the pixels of the images as given."""
        if self.training:
            return result
        for found, shape, original in zip(result, image_shapes, original_image_sizes, strict=True):
            found["boxes"] = resize_boxes(found["boxes"], shape, original)
        return result


def outputs_in_float32(module: nn.Module) -> None:
    """Have a head return float32 also where it computes in bfloat16: boxes are made of it."""
    module.register_forward_hook(_in_float32)


def _in_float32(module: nn.Module, inputs: Any, output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.float() if output.dtype == torch.bfloat16 else output
    if isinstance(output, dict):
        return {name: _in_float32(module, inputs, each) for name, each in output.items()}
    return type(output)(_in_float32(module, inputs, each) for each in output)
