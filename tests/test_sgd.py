"""Our SGD against torch's own."""

import pytest
import torch
from robust_transfer.training.sgd import Sgd
from torch import nn


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2)).double()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 5e-4])
def test_ten_steps_equal_those_of_torch(momentum, weight_decay):
    ours, theirs = network(), network()
    sgd = Sgd(ours.parameters(), momentum=momentum, weight_decay=weight_decay)
    oracle = torch.optim.SGD(
        theirs.parameters(), lr=1.0, momentum=momentum, weight_decay=weight_decay
    )
    for step in range(10):
        x = torch.randn(4, 5, dtype=torch.double, generator=torch.Generator().manual_seed(step))
        for model, optimiser in ((ours, sgd), (theirs, oracle)):
            optimiser.zero_grad()
            model(x).square().sum().backward()
        sgd.step(0.1 / (step + 1))
        oracle.param_groups[0]["lr"] = 0.1 / (step + 1)
        oracle.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-15)


def test_weights_without_a_gradient_stay():
    model = network()
    before = model[0].weight.clone()
    model[0].requires_grad_(False)
    sgd = Sgd(model.parameters(), momentum=0.9, weight_decay=0.1)
    sgd.step(0.1)
    model(torch.ones(1, 5, dtype=torch.double)).sum().backward()
    sgd.step(0.1)
    assert torch.equal(model[0].weight, before)


def test_the_state_brings_the_momentum_back():
    model = network()
    sgd = Sgd(model.parameters(), momentum=0.9, weight_decay=0.0)
    model(torch.ones(1, 5, dtype=torch.double)).sum().backward()
    sgd.step(0.1)
    other = Sgd(model.parameters(), momentum=0.9, weight_decay=0.0)
    other.load_state({name: value.clone() for name, value in sgd.state().items()})
    assert all(torch.equal(a, b) for a, b in zip(sgd.velocity, other.velocity, strict=True))
