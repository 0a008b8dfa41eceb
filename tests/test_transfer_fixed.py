"""Fixed-feature transfer: frozen is frozen, test images choose nothing, bad input is told of."""

import copy

import numpy as np
import pytest
import torch
from robust_transfer.errors import DataError
from robust_transfer.transfer.fixed import Features, Probing
from robust_transfer.transfer.target import check_takes
from sklearn.linear_model import LogisticRegression
from transfer_subjects import FIXED, network, target

LABELS = np.arange(60) % 3


def test_the_backbone_is_as_it_was_afterwards():
    backbone = network()
    before = copy.deepcopy(backbone.state_dict())
    Probing(backbone, target(LABELS), FIXED).seed(0)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_logits_are_those_of_scikit_learn_on_the_same_features():
    backbone, data = network(), target(LABELS, n_test=200)
    outcome = Probing(backbone, data, FIXED | {"augmented_views": 0}).seed(0)
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
    one, two = (Probing(network(), each, FIXED).seed(0) for each in (data, other))
    assert torch.equal(one.logits, two.logits)
    assert one.selected == two.selected


def test_validation_images_see_no_training_on_them_before_the_choice():
    """With their labels shuffled, what is fitted before the choice stays the same."""
    data = target(LABELS)
    probing = Probing(network(), data, FIXED)
    split = data.split(0.2, 0)
    probing._learn(split.labelled)
    mean, std = torch.zeros(16), torch.ones(16)
    before = probing._fit(split.train, [], [0.1], mean, std).weight
    data.labels[split.held_out] = (data.labels[split.held_out] + 1) % 3
    after = probing._fit(split.train, [], [0.1], mean, std).weight
    assert torch.equal(before, after)


def test_the_penalty_is_the_best_on_validation_and_of_equals_the_strongest():
    data = target(np.repeat([0, 1], 30), spread=1)  # two colours: every penalty is right
    outcome = Probing(network(), data, FIXED).seed(0)
    assert outcome.validation_accuracy == 1
    assert outcome.selected == "penalty=0.1"
    assert outcome.selected_on == "validation"


def test_each_image_is_computed_once_whatever_the_number_of_seeds():
    data = target(LABELS)
    probing = Probing(network(), data, FIXED | {"augmented_views": 0})
    probing.seed(0)
    features = probing.features.clone()
    probing.backbone = None  # whoever asks it again fails
    probing.seed(1)
    assert torch.equal(probing.features, features)


def test_forward_passes_are_counted_in_images():
    outcome = Probing(network(), target(LABELS, n_test=10), FIXED | {"augmented_views": 2}).seed(0)
    assert outcome.images_through_network == 60 * 3 + 10


def test_the_transferred_model_gives_the_logits_of_the_probe():
    data = target(LABELS)
    outcome = Probing(network(), data, FIXED).seed(0)
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
    outcome = Probing(backbone, target(LABELS), FIXED).seed(0)
    assert any("3 of 16 features are constant" in note for note in outcome.notes)
    assert torch.isfinite(outcome.logits).all()


def test_a_collapsed_backbone_predicts_the_commonest_class_and_says_so():
    backbone = network()
    with torch.no_grad():
        for parameter in backbone.body.stage3.parameters():
            parameter.zero_()
    data = target([0] * 40 + [1] * 10)
    outcome = Probing(backbone, data, FIXED).seed(0)
    assert (outcome.logits.argmax(1) == 0).all()
    assert "all features are constant" in outcome.notes[0]


def test_features_that_are_not_finite_are_refused():
    backbone = network()
    with torch.no_grad():
        backbone.body.conv1.weight[0] = float("nan")
    with pytest.raises(DataError, match="not finite: pretrain it again"):
        Probing(backbone, target(LABELS), FIXED).seed(0)


def test_images_too_small_for_the_network_are_refused_with_the_fix():
    backbone = network("vgg11_bn", image_size=32)
    with pytest.raises(DataError, match=r"cannot take images of 8 x 8 pixels.*\n.*image_size"):
        check_takes(backbone, target(LABELS, size=8).images)
    check_takes(backbone, target(LABELS, size=32).images)


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones():
    one, two, three = (
        Probing(network(), target(LABELS), FIXED).seed(seed).logits.numpy().tobytes()
        for seed in (5, 5, 6)
    )
    assert one == two != three


def test_features_are_taken_in_eval_mode():
    backbone = network().train()
    data = target(LABELS)
    probing = Probing(backbone, data, FIXED)
    probing._learn(torch.arange(len(data.images)))
    with torch.no_grad():
        expected = Features(network())(data.images / 255)
    torch.testing.assert_close(probing.features, expected, atol=1e-5, rtol=1e-5)
