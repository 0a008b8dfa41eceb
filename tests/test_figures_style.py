"""Looks of the figures: told apart in grey, on dark and on paper; limits that hold all points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.figures.attacked_images import perturbation_gain
from robust_transfer.figures.cells import epsilon_text
from robust_transfer.figures.style import COLOUR, THEME, epsilon_looks, limits


def test_epsilons_differ_in_marker_as_well_as_colour():
    looks = epsilon_looks([0, 0.25, 0.5, 1, 3])
    assert len({look["marker"] for look in looks.values()}) == 5
    assert len({look["color"] for look in looks.values()}) == 5


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_growing_epsilon_darkens_in_grey_and_lightens_on_dark():
    steps = [THEME[f"eps{i}"] for i in range(8)]
    light, dark = ([luminance(pair[i]) for pair in steps] for i in (0, 1))
    assert light == sorted(light, reverse=True)
    assert dark == sorted(dark)


@pytest.mark.parametrize("name", sorted(set(THEME) - {"rule", "paper"}))
def test_each_colour_stands_out_from_its_ground(name):
    for ground, colour in zip(THEME["paper"], THEME[name], strict=True):
        pair = sorted([luminance(ground), luminance(colour)])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 2.9


def test_the_colours_of_a_theme_are_distinct_so_that_a_page_can_swap_them():
    assert len(set(COLOUR.values())) == len(COLOUR)


def test_linf_epsilons_are_spelled_in_grey_levels():
    assert epsilon_text(8 / 255, "linf") == "8/255"
    assert epsilon_text(0.25) == "0.25"


@given(st.lists(st.floats(0, 100), min_size=1, max_size=9), st.floats(0, 1000))
@settings(max_examples=50, deadline=None)
def test_axis_limits_hold_all_points_and_do_not_follow_a_wide_interval(points, width):
    low, high = limits(points, np.array(points) - width, np.array(points) + width)
    assert low < min(points)
    assert high > max(points)
    span = max(max(points) - min(points), 1e-9 + 0.01 * max(points))
    assert high - low <= 2.5 * span * (1 + 1e-6) + 1e-6


@pytest.mark.parametrize(("size", "gain"), [(0.5, 1), (0.05, 10), (0.0, 1)])
def test_a_perturbation_is_multiplied_until_it_fills_the_grey_scale(size, gain):
    assert perturbation_gain(np.full((2, 4, 4, 3), size)) == gain
