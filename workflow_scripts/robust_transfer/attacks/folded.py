"""A frozen copy of a network for attacks, each BatchNorm folded into the convolution before it.

During an attack BatchNorm is in eval mode: a fixed scale and shift a channel, which the weights
of the convolution before it can carry. The layer then costs nothing, forward and backward. The
weights are frozen, so that a compiled backward computes no gradients of them either.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from robust_transfer.attacks.stem import with_quick_stem
from robust_transfer.attacks.surroundings import inner_module


class _Pair(NamedTuple):
    """A convolution and the BatchNorm after it in the live model, and their stand-in."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d
    folded: nn.Conv2d


class FoldedAttackModel(nn.Module):
    """What an attack sees of a model in training: its eval mode, frozen and folded.

    Made once; `refresh` after each optimiser step takes over the live weights. Modules of the
    live model must not be exchanged afterwards (a new head, say): make a new one then.

    Args:
        model: the live model; it stays as it is.
        conv_dtype: keep the folded weights in this type; torch.bfloat16 spares their cast at
            each step of an attack that runs under autocast to bfloat16. None: as the model's.

    Attributes:
        folded: how many BatchNorm layers are folded.
        reason: why not one is, in words; None where some are.
        call: what maps images to logits: the network, or a compiled form of its `forward`.
    """

    def __init__(self, model: nn.Module, *, conv_dtype: torch.dtype | None = None) -> None:
        super().__init__()
        live = inner_module(model)
        network, names, self.reason = _without_batch_norm(_frozen_copy(live))
        self.network = with_quick_stem(network)
        self.call: Callable[[Tensor], Tensor] = network.forward
        self._pairs = [
            _Pair(
                live.get_submodule(conv),  # type: ignore[arg-type]
                live.get_submodule(norm),  # type: ignore[arg-type]
                _with_bias(network.get_submodule(conv), conv_dtype),
            )
            for conv, norm in names
        ]
        self.folded = len(self._pairs)
        self._copies = _plain_copies(network, live, self._pairs)
        self.refresh()
        self.train(False)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the live model's weights and statistics, in place and without tracing."""
        for conv, norm, folded in self._pairs:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = (norm.running_var + norm.eps).rsqrt()
            if norm.weight is not None:
                scale = scale * norm.weight
            scaled = folded.weight if folded.weight.dtype == conv.weight.dtype else None
            folded.weight.copy_(torch.mul(conv.weight, scale.view(-1, 1, 1, 1), out=scaled))
            shift = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
            assert folded.bias is not None
            folded.bias.copy_(shift * scale if norm.bias is None else norm.bias + shift * scale)
        for target, source in self._copies:
            target.copy_(source)

    def forward(self, images: Tensor) -> Tensor:
        """Map images to logits as the live model in eval mode does."""
        return self.call(images)

    def train(self, mode: bool = True) -> "FoldedAttackModel":
        """Stay in eval mode, whatever is asked: there is nothing to train."""
        return super().train(False)


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Return a frozen copy of a model in eval mode, BatchNorm folded where it can be.

    Args:
        model: any module; it stays as it is.

    Returns:
        The copy: the same function up to rounding, with `folded` (how many layers were) and
        `reason` (why none could be). It does not follow later changes unless refreshed.
    """
    return FoldedAttackModel(model)


def _frozen_copy(model: nn.Module) -> nn.Module:
    frozen = copy.deepcopy(model).requires_grad_(False)
    for module in frozen.modules():
        module.training = False
    for parameter in frozen.parameters():
        parameter.grad = None
    return frozen


def _without_batch_norm(
    network: nn.Module,
) -> tuple[nn.Module, list[tuple[str, str]], str | None]:
    """Take each BatchNorm out that directly follows a convolution, and nothing else does.

    Returns:
        The network, the names (convolution, BatchNorm), and why there are none.
    """
    try:
        traced = fx.symbolic_trace(network)
    except Exception as error:  # whatever a network's own code may raise on a symbolic image
        return network, [], f"{type(network).__name__} cannot be traced by torch.fx: {error}"
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    pairs = []
    for node in list(traced.graph.nodes):
        before = node.args[0] if node.args else None
        if isinstance(before, fx.Node) and _is_pair(before, node, traced, calls):
            pairs.append((str(before.target), str(node.target)))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    if not pairs:
        return network, [], f"{type(network).__name__} has no BatchNorm2d right after a Conv2d"
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced, pairs, None


def _is_pair(before: fx.Node, node: fx.Node, traced: fx.GraphModule, calls: list) -> bool:
    if before.op != "call_module" or node.op != "call_module" or len(before.users) != 1:
        return False
    if calls.count(before.target) != 1 or calls.count(node.target) != 1:  # shared layers
        return False
    conv = traced.get_submodule(str(before.target))
    norm = traced.get_submodule(str(node.target))
    return (
        type(conv) is nn.Conv2d  # a subclass may compute its weights, or do more
        and type(norm) in (nn.BatchNorm2d, nn.SyncBatchNorm)
        and norm.running_mean is not None
    )


def _with_bias(conv: nn.Module, dtype: torch.dtype | None) -> nn.Conv2d:
    """Give a frozen convolution a bias, and the type asked for."""
    assert isinstance(conv, nn.Conv2d)
    if conv.bias is None:
        bias = conv.weight.new_zeros(conv.out_channels)
        conv.bias = nn.Parameter(bias, requires_grad=False)
    return conv if dtype is None else conv.to(dtype)


def _plain_copies(
    network: nn.Module, live: nn.Module, pairs: list[_Pair]
) -> list[tuple[Tensor, Tensor]]:
    """Pair every other parameter and buffer of the copy with the live one of its name."""
    own = {id(tensor) for pair in pairs for tensor in pair.folded.parameters()}
    sources = dict(live.named_parameters()) | dict(live.named_buffers())
    targets = dict(network.named_parameters()) | dict(network.named_buffers())
    return [
        (target, sources[name])  # a constant of the traced code has no source, and never changes
        for name, target in targets.items()
        if id(target) not in own and name in sources
    ]
