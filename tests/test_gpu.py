"""What only a GPU can show; where there is none, these are left out and say so."""

import pytest
import torch
from robust_transfer.attacks.evaluate import accuracy_under_attack
from robust_transfer.attacks.folded import FoldedAttackModel
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.training.device import half_precision
from robust_transfer.training.pool import Resident
from robust_transfer.training.recipes import pretraining_recipe
from robust_transfer.training.sgd import Sgd
from robust_transfer.training.step import TrainingStep
from test_training_data_path import RECIPE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CLASSES, SIZE = 5, 32


def pool(n=256):
    """Coloured noise on the GPU: the colour tells the class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % CLASSES
    colours = torch.randint(0, 256, (CLASSES, 3, 1, 1), generator=generator)[labels]
    noise = torch.randint(-60, 61, (n, 3, SIZE, SIZE), generator=generator)
    images = (colours + noise).clamp(0, 255).byte().contiguous(memory_format=torch.channels_last)
    return Resident(images.cuda(), labels.cuda())


def network():
    return make_backbone("resnet_small", classes=CLASSES, image_size=SIZE, mean=[0.5] * 3,
                         std=[0.25] * 3, seed=0).cuda()  # fmt: skip


def steps(model, method="pgd", augmentation="shift_flip"):
    settings = RECIPE | {"method": method, "augmentation": augmentation, "weight_average": 0.0}
    recipe = pretraining_recipe(settings, norm="l2", epsilon=0.5, steps=40, image_size=SIZE,
                                identity="test", label="test")  # fmt: skip
    optimiser = Sgd(model.parameters(), momentum=0.9, weight_decay=0.0)
    return TrainingStep(model, recipe, optimiser, seed=0)


def train(model, count, **changes):
    data, take = pool(), steps(model, **changes)
    order = (torch.arange(64) + 64 * (step % 4) for step in range(count))
    return [take(*batch, step) for step, batch in enumerate(data.batches(order))]


@pytest.mark.parametrize("method", ["pgd", "trades", "fgsm_rs", "nfgsm"])
@pytest.mark.parametrize("augmentation", ["none", "shift_flip", "imagenet"])
def test_a_training_step_never_waits_for_the_gpu(method, augmentation):
    model = network()
    data, take = pool(), steps(model, method, augmentation)
    order = [torch.arange(64)] * 4
    batches = data.batches(order)
    take(*next(batches), 0)  # the first one builds the attacked copy
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step, batch in enumerate(batches, start=1):
            take(*batch, step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_training_in_bfloat16_learns_what_training_on_the_cpu_learns():
    losses = train(network(), 40)
    assert float(losses[-1]) < 0.7 * float(losses[0])


def test_the_fast_path_breaks_as_many_images_as_eager_float32():
    """Folded and in bfloat16 against the network itself in float32: within three points."""
    model = network()
    train(model, 40)
    model.eval()
    data = pool()
    size = {"norm": "l2", "epsilon": 1.0, "step_size": 0.25, "steps": 10}
    eager = accuracy_under_attack(model, data.images, data.labels, **size)
    with half_precision(data.labels.device):
        half = torch.bfloat16 if torch.is_autocast_enabled("cuda") else None
        folded = FoldedAttackModel(model, conv_dtype=half)
        fast = accuracy_under_attack(model, data.images, data.labels, stand_in=folded, **size)
    assert abs(eager.float().mean() - fast.float().mean()) <= 0.03
