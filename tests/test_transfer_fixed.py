"""Fixed-feature transfer: frozen is frozen, test images choose nothing, bad input is told of."""

import copy

import numpy as np
import pytest
import torch
from robust_transfer.errors import DataError
from robust_transfer.transfer import fixed
from robust_transfer.transfer.features import Features, Network
from robust_transfer.transfer.fixed import Probing
from robust_transfer.transfer.target import Target, check_takes
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from transfer_subjects import FIXED, network, probed, target

LABELS = np.arange(60) % 3


def test_the_backbone_is_as_it_was_afterwards():
    backbone = network()
    before = copy.deepcopy(backbone.state_dict())
    probed(backbone, target(LABELS), FIXED, 0)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_logits_are_those_of_scikit_learn_on_the_same_features():
    backbone, data = network(), target(LABELS, n_test=200)
    outcome = probed(backbone, data, FIXED | {"augmented_views": 0}, 0)
    with torch.no_grad():
        features = backbone.features(data.images / 255).double().numpy()
    train, test = features[: data.n_train], features[data.n_train :]
    mean, std = train.mean(0), train.std(0)
    std[std <= 1e-6 * np.abs(mean)] = np.inf
    penalty = float(outcome.selected.removeprefix("penalty="))
    model = LogisticRegression(C=1 / (len(train) * penalty), tol=1e-9, max_iter=20_000)
    model.fit((train - mean) / std, LABELS)
    expected = model.predict((test - mean) / std)
    assert (outcome.logits.argmax(1).numpy() == expected).mean() >= 0.999


def test_the_labels_of_test_images_change_nothing():
    data = target(LABELS)
    other = target(LABELS)
    other.labels[other.n_train :] = 0
    one, two = (probed(network(), each, FIXED, 0) for each in (data, other))
    assert torch.equal(one.logits, two.logits)
    assert one.selected == two.selected


def test_validation_images_see_no_training_on_them_before_the_choice(monkeypatch):
    """With their labels shuffled, what is fitted before the choice stays the same."""
    data = target(LABELS)
    fits, real = [], fixed.fit_probes
    monkeypatch.setattr(
        fixed, "fit_probes", lambda *given, **how: fits.append(real(*given, **how)) or fits[-1]
    )
    probed(network(), data, FIXED, 0)
    split = data.split(0.2, 0)
    held_out = split.held_out
    monkeypatch.setattr(type(data), "split", lambda *_: split)  # which is drawn from labels
    data.labels[held_out] = (data.labels[held_out] + 1) % 3
    probed(network(), data, FIXED, 0)
    before, _, after, _ = (each.weight for each in fits)
    assert torch.equal(before, after)


def test_the_penalty_is_the_best_on_validation_and_of_equals_the_strongest():
    data = target(np.repeat([0, 1], 30), spread=1)  # two colours: every penalty is right
    outcome = probed(network(), data, FIXED, 0)
    assert outcome.validation_accuracy == 1
    assert outcome.selected == "penalty=0.1"
    assert outcome.selected_on == "validation"


def test_each_image_is_computed_once_whatever_the_number_of_seeds():
    backbone, passed = network(), []
    backbone.body.conv1.register_forward_hook(lambda _, given, __: passed.append(len(given[0])))
    data = target(LABELS, n_test=10)
    list(Probing(backbone, data, FIXED | {"augmented_views": 0}).outcomes([0, 1, 2]))
    assert sum(passed) == 60 + 10
    passed.clear()
    list(Probing(backbone, data, FIXED | {"augmented_views": 2}).outcomes([0, 1, 2]))
    assert sum(passed) == 60 + 10 + 3 * 2 * 60  # the views are each seed's own


def test_a_seed_gives_the_same_whichever_other_seeds_are_fitted_beside_it():
    data = target(LABELS, n_test=40)
    together = list(Probing(network(), data, FIXED).outcomes([0, 1, 2]))
    assert not torch.equal(together[0].logits, together[1].logits)
    for seed, outcome in enumerate(together):
        alone = probed(network(), data, FIXED, seed)
        assert outcome.selected == alone.selected
        assert torch.equal(outcome.split.train, alone.split.train)
        torch.testing.assert_close(outcome.logits, alone.logits, rtol=1e-2, atol=1e-2)


def test_seeds_beyond_the_memory_of_a_search_are_fitted_after_the_others(monkeypatch):
    data = target(LABELS)
    together = list(Probing(network(), data, FIXED).outcomes([0, 1, 2]))
    monkeypatch.setattr(fixed, "samples_at_once", lambda *_: 2)
    in_turns = list(Probing(network(), data, FIXED).outcomes([0, 1, 2]))
    for one, other in zip(together, in_turns, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-2, atol=1e-2)


def test_the_view_of_an_image_does_not_depend_on_the_others_that_are_labelled():
    source = Network(network(), target(np.arange(1100) % 3, size=8), "shift")  # three batches
    every = source.of_view(torch.arange(1100), seed=1, view=0)
    few = torch.tensor([3, 511, 512, 1099])
    torch.testing.assert_close(source.of_view(few, seed=1, view=0), every[few])
    assert not torch.allclose(source.of_view(few, seed=1, view=1), every[few])


def test_the_rough_probes_choose_the_penalty_that_exact_ones_choose(monkeypatch):
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels.reshape(-1, 1, 8, 8) * (255 / 16)).byte().expand(-1, 3, -1, -1)
    data = Target(images.contiguous(memory_format=torch.channels_last), torch.tensor(labels),
                  n_train=1200, classes=10, metric="top1")  # fmt: skip
    recipe = FIXED | {"penalties": [1e-4, 1e-3, 1e-2, 1e-1, 1.0], "augmented_views": 0}
    rough = list(Probing(network(image_size=8), data, recipe).outcomes([0, 1, 2]))
    monkeypatch.setattr(fixed, "ROUGH", 1e-8)
    exact = list(Probing(network(image_size=8), data, recipe).outcomes([0, 1, 2]))
    assert [each.selected for each in rough] == [each.selected for each in exact]


def test_forward_passes_are_counted_in_images():
    outcome = probed(network(), target(LABELS, n_test=10), FIXED | {"augmented_views": 2}, 0)
    assert outcome.images_through_network == 60 * 3 + 10


def test_the_transferred_model_gives_the_logits_of_the_probe():
    data = target(LABELS)
    outcome = probed(network(), data, FIXED, 0)
    with torch.no_grad():
        again = outcome.model()(data.test / 255)
    torch.testing.assert_close(again, outcome.logits.float(), atol=1e-3, rtol=1e-3)


def test_constant_features_count_as_nothing_and_are_told_of():
    backbone = network()
    with torch.no_grad():
        backbone.body.stage3.bn2.weight[:3] = 0
        backbone.body.stage3.bn2.bias[:3] = 5.0
        backbone.body.stage3.shortcut[1].weight[:3] = 0
        backbone.body.stage3.shortcut[1].bias[:3] = 0
    outcome = probed(backbone, target(LABELS), FIXED, 0)
    assert any("3 of 16 features are constant" in note for note in outcome.notes)
    assert torch.isfinite(outcome.logits).all()


def test_a_collapsed_backbone_predicts_the_commonest_class_and_says_so():
    backbone = network()
    with torch.no_grad():
        for parameter in backbone.body.stage3.parameters():
            parameter.zero_()
    data = target([0] * 40 + [1] * 10)
    outcome = probed(backbone, data, FIXED, 0)
    assert (outcome.logits.argmax(1) == 0).all()
    assert "all features are constant" in outcome.notes[0]


def test_features_that_are_not_finite_are_refused():
    backbone = network()
    with torch.no_grad():
        backbone.body.conv1.weight[0] = float("nan")
    with pytest.raises(DataError, match="not finite: pretrain it again"):
        probed(backbone, target(LABELS), FIXED, 0)


def test_images_too_small_for_the_network_are_refused_with_the_fix():
    backbone = network("vgg11_bn", image_size=32)
    with pytest.raises(DataError, match=r"cannot take images of 8 x 8 pixels.*\n.*image_size"):
        check_takes(backbone, target(LABELS, size=8).images)
    check_takes(backbone, target(LABELS, size=32).images)


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones():
    one, two, three = (
        probed(network(), target(LABELS), FIXED, seed).logits.numpy().tobytes()
        for seed in (5, 5, 6)
    )
    assert one == two != three


def test_features_are_taken_in_eval_mode():
    backbone = network().train()
    data = target(LABELS)
    found = Network(backbone, data, "shift").of(torch.arange(len(data.images)))
    with torch.no_grad():
        expected = Features(network())(data.images / 255)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
