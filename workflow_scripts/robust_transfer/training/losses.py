"""The loss that training lowers."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def training_loss(
    model: Callable[[Tensor], Tensor],
    clean: Tensor,
    perturbed: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float,
    trades_beta: float,
) -> Tensor:
    """Return the mean loss of a batch: of its perturbed images, or that of TRADES.

    TRADES: cross-entropy of the clean images + beta * KL(prediction of the clean image ||
    prediction of the perturbed one). The gradient flows through both predictions, as in the
    published code; that code computes the clean one twice, here it is computed once.

    Args:
        model: in training mode; BatchNorm sees clean and perturbed images as two batches.
        clean: (n, ...) images in [0, 1].
        perturbed: (n, ...) what the attack made of them, or the clean images themselves.
        labels: (n,) int64.
        label_smoothing: of the cross-entropy, in [0, 1).
        trades_beta: weight of the divergence; 0: the cross-entropy of `perturbed` alone.

    Returns:
        The loss, a float32 scalar with its graph.

    Source: Madry et al. 2018, arXiv:1706.06083, equation 2.1; Zhang et al. 2019,
    arXiv:1901.08573, equation 5 (beta is its 1/lambda; 6 in its experiments on CIFAR-10).
    """
    if not trades_beta:
        logits = model(perturbed).float()
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    said_of_clean = model(clean).float()
    said_of_perturbed = model(perturbed).float()
    divergence = F.kl_div(
        F.log_softmax(said_of_perturbed, dim=1),
        F.log_softmax(said_of_clean, dim=1),
        log_target=True,
        reduction="batchmean",
    )
    accuracy_term = F.cross_entropy(said_of_clean, labels, label_smoothing=label_smoothing)
    return accuracy_term + trades_beta * divergence
