"""One type for every backbone: normalisation inside, body and head apart."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class Backbone(nn.Module):
    """A classification network on images in [0, 1].

    The normalisation is inside, so that attacks work in pixel space (law 6 of the design), and
    the head, the network's last linear layer, is taken out of the body, so that features are
    taken and heads replaced in the same way for every architecture.

    Args:
        network: maps normalised (n, 3, height, width) images to logits; its last `nn.Linear`
            is the head.
        mean: of the source's training images, one number a channel, in [0, 1].
        std: likewise, above 0.

    Raises:
        ValueError: the network has no linear layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.head_name = _head_name(network)
        self.head: nn.Linear = network.get_submodule(self.head_name)  # type: ignore[assignment]
        network.set_submodule(self.head_name, nn.Identity())
        self.body = network
        self.frozen: tuple[nn.Module, ...] = ()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @property
    def feature_dim(self) -> int:
        """Width of the features: what the head takes in."""
        return self.head.in_features

    def keep_frozen(self, parts: Iterable[nn.Module]) -> None:
        """Keep parts of the body in eval mode from now on, also while the rest trains."""
        self.frozen = tuple(parts)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        """Set training mode, but for the parts that are kept frozen."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def features(self, images: Tensor) -> Tensor:
        """Map (n, 3, height, width) images in [0, 1] to (n, feature_dim) features."""
        height, width = images.shape[2], images.shape[3]
        mean, std = (_spread(each, height, width) for each in (self.mean, self.std))
        return self.body((images - mean).div_(std))

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 3, height, width) images in [0, 1] to (n, classes) logits."""
        return self.head(self.features(images))

    def replace_head(self, classes: int) -> None:
        """Put a freshly initialised linear layer of `classes` outputs in the head's place."""
        old = self.head
        self.head = nn.Linear(old.in_features, classes, device=old.weight.device)

    def network_state(self) -> dict[str, Tensor]:
        """Return the weights under the keys of the original network (torchvision's, say)."""
        state = {name: value for name, value in self.body.state_dict().items()}
        head = self.head.state_dict()
        return state | {f"{self.head_name}.{name}": value for name, value in head.items()}

    def load_network_state(self, state: dict[str, Tensor]) -> None:
        """Load weights given under the keys of the original network; every key must fit.

        Args:
            state: what `network_state` returned. The head may have another number of classes;
                it is then replaced first.
        """
        prefix = f"{self.head_name}."
        head = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        if head["weight"].shape[0] != self.head.out_features:
            self.replace_head(head["weight"].shape[0])
        self.head.load_state_dict(head)
        body = OrderedDict((k, v) for k, v in state.items() if not k.startswith(prefix))
        # MNASNet refuses a state that does not say its version.
        body._metadata = self.body.state_dict()._metadata  # type: ignore[attr-defined]
        self.body.load_state_dict(body)


def _spread(channels: Tensor, height: int, width: int) -> Tensor:
    """Repeat a (1, 3, 1, 1) tensor over a whole image, in the layout of the images.

    In channels_last, arithmetic with one number a channel runs over three numbers at a time; with
    a whole image it is vectorised, several times as fast on a CPU, and the result is the same.
    """
    whole = channels.expand(1, 3, height, width)
    return whole.contiguous(memory_format=torch.channels_last)


def _head_name(network: nn.Module) -> str:
    """Find the last linear layer: the head of every classification network of torchvision."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"{type(network).__name__} has no linear layer to serve as its head.")
    return linear[-1]
