"""Intervals cover and tests err as often as they say; `python <this file>` makes 10,000 draws.

docs/statistics.md quotes what that printed.
"""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent / "workflow_scripts"))

from robust_transfer.statistics.equivalence import equivalence
from robust_transfer.statistics.holm import holm
from robust_transfer.statistics.intervals import mean_interval, share_interval
from robust_transfer.statistics.pearson import partial, pearson
from robust_transfer.statistics.power import detectable_difference
from robust_transfer.statistics.recommendation import Candidate, recommend
from robust_transfer.statistics.selected import choose_by_others
from robust_transfer.statistics.welch import welch

SIZES = [(2, 2), (3, 3), (5, 5), (3, 10)]


def welch_rates(generator, draws, n, m, ratio):
    """Coverage of the interval, level of the two- and one-sided test, with sd 1 and `ratio`."""
    hits = np.zeros(3)
    for _ in range(draws):
        found = welch(
            generator.normal(0.0, 1.0, n), generator.normal(0.0, ratio, m), confidence=0.95
        )
        hits += (found.ci_low <= 0 <= found.ci_high, found.p_value < 0.05, found.p_greater < 0.05)
    return hits / draws


def pearson_rates(generator, draws, n, rho):
    """Coverage of Fisher's interval; and how often p < 0.05 (the level where rho is 0)."""
    hits = np.zeros(2)
    for _ in range(draws):
        x, z = generator.normal(size=(2, n))
        found = pearson(x, rho * x + math.sqrt(1 - rho**2) * z, confidence=0.95)
        hits += (found.ci_low <= rho <= found.ci_high, found.p_value < 0.05)
    return hits / draws


def partial_rates(generator, draws, n, levels):
    """Coverage and level of the correlation within categories that shift both variables."""
    hits = np.zeros(2)
    category = np.arange(n) % levels
    given = (category[:, None] == np.arange(1, levels)).astype(float)
    for _ in range(draws):
        x, y = generator.normal(size=(2, n)) + 3 * category
        found = partial(x, y, given, confidence=0.95)
        hits += (found.ci_low <= 0 <= found.ci_high, found.p_value < 0.05)
    return hits / draws


def family_rate(generator, draws, tests, n):
    """How often Holm's adjustment lets any of `tests` true nulls be rejected."""
    hits = 0
    for _ in range(draws):
        p_values = [
            welch(*generator.normal(size=(2, n)), confidence=0.95).p_value for _ in range(tests)
        ]
        hits += bool((holm(np.array(p_values)) < 0.05).any())
    return hits / draws


def selection_rates(generator, draws, n, epsilons):
    """Level of "the best robust epsilon beats standard" when no epsilon matters at all.

    Each backbone has its own luck, which validation and test both see. First: each replicate
    takes what validation chose for the others, as selected.py does. Second: each takes what its
    own validation chose. Third: the epsilon with the best mean on test, as a reader of figures.
    """
    hits = np.zeros(3)
    rows = np.arange(n)
    for _ in range(draws):
        luck = generator.normal(size=(n, epsilons))
        validation = luck + 0.5 * generator.normal(size=(n, epsilons))
        test = luck + 0.5 * generator.normal(size=(n, epsilons))
        standard = generator.normal(size=n) + 0.5 * generator.normal(size=n)
        ways = (
            test[rows, choose_by_others(validation)],
            test[rows, validation.argmax(axis=1)],
            test[:, test.mean(axis=0).argmax()],
        )
        hits += [welch(way, standard, confidence=0.95).p_greater < 0.05 for way in ways]
    return hits / draws


def power_rate(generator, draws, n):
    """How often a difference of `detectable_difference` is found; it says 0.8."""
    shift = detectable_difference(1.0, 1.0, n, n, level=0.05)
    found = [
        welch(generator.normal(shift, 1, n), generator.normal(0, 1, n), confidence=0.95).p_value
        for _ in range(draws)
    ]
    return float((np.array(found) < 0.05).mean())


def equivalence_rate(generator, draws, n, bound):
    """How often a true difference of just the bound is called equivalent."""
    found = [
        equivalence(
            generator.normal(bound, 1, n), generator.normal(0, 1, n), bound=bound, level=0.05
        ).p_value
        for _ in range(draws)
    ]
    return float((np.array(found) < 0.05).mean())


def mean_rate(generator, draws, n):
    hits = 0
    for _ in range(draws):
        low, high = mean_interval(generator.normal(size=n), confidence=0.95)
        hits += low <= 0 <= high
    return hits / draws


def share_rate(generator, draws, n, share):
    hits = 0
    for right in generator.binomial(n, share, draws):
        low, high = share_interval(right / n, n, confidence=0.95)
        hits += low <= share <= high
    return hits / draws


def bootstrap_rate(generator, draws, runs, images=300):
    """Coverage of the bootstrap's interval: backbones vary by 0.02 around 0.8."""
    hits = 0
    for _ in range(draws):
        shares = generator.normal(0.8, 0.02, runs)
        hard = generator.random(images)
        right = (hard[None, :] < shares[:, None]).astype(float)
        given = {"a": Candidate(np.arange(runs), right)}
        low, high = recommend(given, confidence=0.95, draws=300).loc[0, ["ci_low", "ci_high"]]
        hits += low <= 0.8 <= high
    return hits / draws


def near(rate, expected, draws):
    """Within four standard errors of what it should be."""
    return rate == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / draws))


DRAWS = 1000


@pytest.fixture
def generator():
    return np.random.default_rng(7)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 5)])
def test_welch_covers_and_errs_as_it_says(generator, n, m):
    coverage, two_sided, one_sided = welch_rates(generator, DRAWS, n, m, 1.0)
    # Welch is conservative for tiny samples: it may cover more, never much less.
    assert 0.95 - 4 * 0.0069 < coverage < 0.985
    assert 0.015 < two_sided < 0.05 + 4 * 0.0069
    assert 0.02 < one_sided < 0.05 + 4 * 0.0069


def test_the_permutation_test_errs_as_it_says(generator):
    _, level = pearson_rates(generator, DRAWS, 6, 0.0)
    assert near(level, 0.05, DRAWS)


def test_fishers_interval_covers(generator):
    coverage, _ = pearson_rates(generator, DRAWS, 12, 0.6)
    assert near(coverage, 0.95, DRAWS)


def test_the_correlation_within_categories_covers_and_errs_as_it_says(generator):
    coverage, level = partial_rates(generator, DRAWS, 16, 4)
    assert near(coverage, 0.95, DRAWS)
    assert near(level, 0.05, DRAWS)


def test_a_family_of_tests_errs_together_as_one(generator):
    assert family_rate(generator, 300, 8, 5) < 0.05 + 4 * 0.0126


def test_choosing_by_the_validation_of_others_keeps_the_level(generator):
    others, own, naive = selection_rates(generator, DRAWS, 5, 4)
    assert others < 0.05 + 4 * 0.0069
    assert min(own, naive) > 0.10


def test_the_detectable_difference_is_detected_as_often_as_it_says(generator):
    assert near(power_rate(generator, DRAWS, 10), 0.8, DRAWS)
    assert 0.6 < power_rate(generator, DRAWS, 3) < 0.8  # Welch is cautious with 3 a side


def test_a_difference_of_the_bound_is_called_equivalent_no_more_often_than_the_level(generator):
    assert near(equivalence_rate(generator, DRAWS, 10, 1.5), 0.05, DRAWS)


def test_intervals_of_means_and_shares_cover(generator):
    assert near(mean_rate(generator, DRAWS, 3), 0.95, DRAWS)
    assert near(share_rate(generator, DRAWS, 1000, 0.9), 0.95, DRAWS)


def main(draws=10_000):
    """Print every rate as a row of a Markdown table."""
    generator = np.random.default_rng(0)
    print("| what | case | coverage | level, two-sided | level, one-sided |")
    print("|---|---|---|---|---|")
    for ratio in (1.0, 3.0):
        for n, m in SIZES:
            rates = welch_rates(generator, draws, n, m, ratio)
            case = f"n = {n} and {m}, sd 1 and {ratio:g}"
            print(f"| Welch | {case} | " + " | ".join(f"{rate:.3f}" for rate in rates) + " |")
    for n in (4, 6, 9, 20):
        coverage, level = pearson_rates(generator, draws if n != 9 else draws // 10, n, 0.0)
        print(f"| Pearson | n = {n}, rho 0 | {coverage:.3f} | {level:.3f} | |")
    for n in (6, 20):
        coverage, power = pearson_rates(generator, draws, n, 0.8)
        print(f"| Pearson | n = {n}, rho 0.8 | {coverage:.3f} | (power {power:.3f}) | |")
    for n, levels in ((12, 2), (16, 4)):
        coverage, level = partial_rates(generator, draws, n, levels)
        case = f"n = {n}, {levels} epsilons"
        print(f"| within epsilon | {case} | {coverage:.3f} | {level:.3f} | |")
    for tests, n in ((8, 3), (40, 5)):
        rate = family_rate(generator, draws // (tests // 8), tests, n)
        print(f"| Holm | {tests} tests, n = {n} | | {rate:.3f} (any) | |")
    for n in (3, 5):
        rates = selection_rates(generator, draws, n, 4)
        ways = ("validation of the others (ours)", "own validation", "mean on test (the paper)")
        for way, rate in zip(ways, rates, strict=True):
            print(f"| best of 4 epsilons | n = {n}, chosen by {way} | | | {rate:.3f} |")
    for n in (3, 5, 10):
        rate = power_rate(generator, draws, n)
        print(f"| detectable difference | n = {n} | | (power {rate:.3f}) | |")
    for n in (3, 10):
        rate = equivalence_rate(generator, draws, n, 1.5)
        print(f"| equivalence, difference = bound | n = {n} | | {rate:.3f} | |")
    for n in (2, 3, 5):
        print(f"| mean | n = {n} | {mean_rate(generator, draws, n):.3f} | | |")
    for n, share in ((100, 0.99), (1000, 0.9)):
        rate = share_rate(generator, draws, n, share)
        print(f"| share (Wilson) | {n} images, {share} | {rate:.3f} | | |")
    # The chance of the images is as large as that of the backbones, or a third of it.
    for images, share in ((300, 20), (3000, 50)):
        for runs in (2, 3, 5, 10):
            rate = bootstrap_rate(generator, draws // share, runs, images)
            print(f"| bootstrap | {runs} pretrainings, {images} images | {rate:.3f} | | |")


if __name__ == "__main__":
    main()
