"""Fixed-feature transfer, protocol clean: a probe on features of the frozen backbone."""

from typing import Any

import torch
from torch import Tensor

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.errors import DataError
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.evaluation import BATCH, logits_of
from robust_transfer.training.randomness import derived_generator
from robust_transfer.transfer.probe import Probes, fit_probes
from robust_transfer.transfer.target import Outcome, Target, frozen


class Probing:
    """Features computed once; then a probe for each seed.

    A seed draws the validation split and the augmented views. The penalty is chosen on the
    validation split, the probe refitted on train and validation, the test split scored once.

    Args:
        backbone: on the device; it is frozen: BatchNorm too uses the source's statistics.
        target: the dataset, on the same device.
        recipe: `penalties`, `augmented_views`, `augmentation` and `validation_fraction`.
    """

    def __init__(self, backbone: Backbone, target: Target, recipe: dict[str, Any]) -> None:
        self.backbone, self.target, self.recipe = frozen(backbone), target, recipe
        self.features = logits_of(Features(backbone), target.images)
        if not bool(torch.isfinite(self.features).all()):
            raise DataError("the backbone's features are not finite: pretrain it again.")

    def seed(self, seed: int) -> Outcome:
        """Fit, choose and score with one seed."""
        target, n = self.target, self.target.n_train
        train, held_out = target.validation_split(self.recipe["validation_fraction"], seed)
        views = self._views(seed)
        penalties = sorted(self.recipe["penalties"], reverse=True)
        mean, std = _standardisation(self.features[:n])
        probes = self._fit(train, views, penalties, mean, std)
        logits = probes.logits((self.features[held_out] - mean) / std)
        scores = [target.validation_score(row, held_out) for row in logits]
        best = scores.index(max(scores))  # of equal scores, the strongest penalty
        everything = torch.arange(n, device=self.features.device)
        refitted = self._fit(everything, views, penalties[best : best + 1], mean, std)
        return Outcome(
            logits=refitted.logits((self.features[n:] - mean) / std)[0],
            validation_accuracy=scores[best],
            selected=f"penalty={penalties[best]:g}",
            images_through_network=len(target.images) + n * len(views),
        )

    def _views(self, seed: int) -> list[Tensor]:
        """Return the features of augmented copies of the training images."""
        images = self.target.images[: self.target.n_train]
        augment = augmentation(self.recipe["augmentation"])
        network = Features(self.backbone)
        views = []
        for view in range(self.recipe["augmented_views"]):
            generator = derived_generator(seed, "views", view)
            with torch.inference_mode():
                batches = [network(augment(batch, generator)) for batch in images.split(BATCH)]
            views.append(torch.cat(batches).float())
        return views

    def _fit(
        self, rows: Tensor, views: list[Tensor], penalties: list[float], mean: Tensor, std: Tensor
    ) -> Probes:
        features = torch.cat([features[rows] for features in (self.features, *views)])
        return fit_probes(
            (features - mean) / std,
            self.target.labels[rows].repeat(1 + len(views)),
            classes=self.target.classes,
            penalties=torch.tensor(penalties),
        )


class Features(torch.nn.Module):
    """The backbone without its head.

    Args:
        backbone: whose features are taken.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Return the (n, d) features of images in [0, 1]."""
        return self.backbone.features(images)


def _standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation a feature; a constant feature counts as 0 everywhere."""
    std = features.std(0)
    return features.mean(0), torch.where(std > 1e-6 * (1 + std.max()), std, torch.inf)
