"""L-BFGS in matrices takes the steps of the recursion that it stands for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.transfer.lbfgs import MEMORY, Pairs, minimise
from torch import Tensor


def positive_definite(count: int, size: int, generator: torch.Generator) -> Tensor:
    root = torch.randn(count, size, size, generator=generator, dtype=torch.float64)
    return root @ root.mT + 0.5 * torch.eye(size, dtype=torch.float64)


def recursion(guess: Tensor, steps: list[Tensor], changes: list[Tensor]) -> Tensor:
    """The inverse curvature of one problem (Nocedal & Wright 2006, equation 6.17), pair by pair."""
    inverse, eye = guess, torch.eye(len(guess), dtype=torch.float64)
    for s, y in zip(steps, changes, strict=True):
        if s @ y > 0:
            rho = 1 / (s @ y)
            inverse = (eye - rho * s.outer(y)) @ inverse @ (eye - rho * y.outer(s))
            inverse = inverse + rho * s.outer(s)
    return inverse


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 9),
    pairs=st.integers(0, MEMORY + 4),
    without=st.integers(0, MEMORY + 4),
)
def test_a_direction_is_that_of_the_recursion_for_every_problem(seed, size, pairs, without):
    generator = torch.Generator().manual_seed(seed)
    curvature, guess = (positive_definite(3, size, generator) for _ in range(2))
    known = Pairs(torch.zeros(3, size, dtype=torch.float64))
    steps, changes = [], []
    for pair in range(pairs):
        step = torch.randn(3, size, generator=generator, dtype=torch.float64)
        change = (curvature @ step.unsqueeze(2)).squeeze(2)
        if pair == without:
            change[1] = -change[1]  # no curvature along this step of one problem
        known.add(step, change, (guess @ change.unsqueeze(2)).squeeze(2))
        steps.append(step)
        changes.append(change)
    steps, changes = steps[-MEMORY:], changes[-MEMORY:]
    gradient = torch.randn(3, size, generator=generator, dtype=torch.float64)
    found = known.improved(gradient, (guess @ gradient.unsqueeze(2)).squeeze(2))
    for one in range(3):
        scale = 1.0
        if steps and steps[-1][one] @ changes[-1][one] > 0:
            s, y = steps[-1][one], changes[-1][one]
            scale = float(s @ y / (y @ guess[one] @ y))
        inverse = recursion(scale * guess[one], [s[one] for s in steps], [y[one] for y in changes])
        torch.testing.assert_close(found[one], inverse @ gradient[one], rtol=1e-6, atol=1e-6)


class Quadratics:
    """Three parabolas whose least values, 1, lie at known places."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.curvature = positive_definite(3, 8, generator)
        self.least = torch.randn(3, 8, generator=generator, dtype=torch.float64)
        self.least[2] = 0  # solved at the start
        self.asked = 0

    def keep(self, kept: list[int]) -> None:
        self.curvature, self.least = self.curvature[kept], self.least[kept]

    def __call__(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        self.asked += len(theta)
        apart = (theta - self.least).unsqueeze(2)
        gradient = (self.curvature @ apart).squeeze(2)
        return 1 + 0.5 * (gradient * apart.squeeze(2)).sum(1), gradient

    def gap(self, gradient: Tensor) -> Tensor:
        return gradient.square().sum(1)  # the curvature is at least a half

    def soften(self, vector: Tensor) -> Tensor:
        return vector / self.curvature.diagonal(dim1=1, dim2=2)


def test_every_problem_is_solved_and_one_that_is_solved_is_not_asked_again():
    problem = Quadratics()
    start = torch.zeros(3, 8, dtype=torch.float64)
    found = minimise(problem, start, relative_gap=1e-12, max_iterations=200)
    torch.testing.assert_close(found.theta, Quadratics().least, rtol=0, atol=2e-6)
    assert float(found.loss.max()) == pytest.approx(1, abs=1e-12)
    assert torch.equal(found.theta[2], start[2])
    assert int(found.iterations[2]) == 0
    assert 8 <= int(found.iterations[:2].min()) <= int(found.iterations.max()) < 60
    alone = Quadratics()
    alone.keep([0, 1])
    minimise(alone, start[:2].clone(), relative_gap=1e-12, max_iterations=200)
    assert problem.asked - 3 == alone.asked - 2  # beyond the start, nothing of the third


def test_the_search_ends_at_the_iterations_given():
    start = torch.zeros(3, 8, dtype=torch.float64)
    found = minimise(Quadratics(), start, relative_gap=0, max_iterations=3)
    assert found.iterations.tolist() == [3, 3, 0]
