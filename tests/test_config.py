"""The config: what is right passes, is spelled in one way, and expands into the grid."""

import contextlib
import json
import subprocess
import sys
import time
from fractions import Fraction

import pytest
from config_subjects import DEMO, ROOT, demo, message
from hypothesis import given
from hypothesis import strategies as st
from robust_transfer.config.architectures import architectures, is_architecture
from robust_transfer.config.check import check_config
from robust_transfer.config.grid import Backbone, spell_epsilon
from robust_transfer.config.schema import StudyConfig
from robust_transfer.errors import ConfigError, UserError
from robust_transfer.toy_world.alphabets import ALPHABETS

KEPT_SPELLINGS = {
    "8/255": 8 / 255,
    "2/3": 2 / 3,
    "5e-4": 5e-4,
    "1 / 4": 0.25,
    "0.5/255": 0.5 / 255,
    "3": 3.0,
}


@pytest.mark.parametrize("spelling", KEPT_SPELLINGS)
def test_numbers_may_be_spelled_as_text(spelling):
    study = check_config(demo({"pretrain.recipe.relative_step_size": spelling}))
    assert study.settings["pretrain"]["recipe"]["relative_step_size"] == KEPT_SPELLINGS[spelling]


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_fraction_as_text_is_the_float_nearest_to_it(above, below):
    changes = {"pretrain.recipe.weight_decay": f"{above}/{below}"}
    read = check_config(demo(changes)).settings["pretrain"]["recipe"]["weight_decay"]
    assert read == float(Fraction(above, below))


def test_two_spellings_of_a_number_give_the_same_settings():
    as_text = {"pretrain.recipe.weight_decay": "5e-4", "pretrain.recipe.epochs": "6",
               "transfer.datasets.1.resolutions": ["native", "32"]}  # fmt: skip
    assert check_config(demo(as_text)).settings == check_config(demo()).settings


def test_settings_hold_nothing_but_what_json_holds():
    settings = check_config(demo()).settings
    assert json.loads(json.dumps(settings)) == settings


def test_one_value_may_stand_for_a_list_of_one():
    lone = {"architecture": "resnet_small", "norm": "l2", "epsilon": "1/4", "seeds": 3}
    (backbone,) = check_config(demo({"pretrain.backbones": [lone]})).backbones
    assert backbone == Backbone("resnet_small", "letters", "l2", 0.25, 3)


def test_an_entry_with_lists_gives_every_combination():
    lists = {"architecture": ["resnet18", "resnet_small_w32"], "norm": ["l2", "linf"],
             "epsilon": [0, "8/255"], "seeds": [0, 1, 2]}  # fmt: skip
    names = [b.name for b in check_config(demo({"pretrain.backbones": [lists]})).backbones]
    assert len(set(names)) == 2 * 2 * 2 * 3
    assert "resnet_small_w32-letters-linf-eps0.0314-seed2" in names


@pytest.mark.parametrize(
    ("epsilon", "spelled"),
    [(0.0, "0"), (0.25, "0.25"), (1.0, "1"), (8 / 255, "0.0314"), (0.5 / 255, "0.00196")],
)
def test_epsilon_is_spelled_with_three_digits(epsilon, spelled):
    assert spell_epsilon(epsilon) == spelled


def test_caches_are_named_once_and_the_source_comes_first():
    caches = check_config(demo()).caches
    assert caches[0] == ("letters", "native")
    assert len(caches) == len(set(caches)) == 8


def test_how_a_dataset_is_scored_does_not_decide_its_images():
    plain = check_config(demo())
    scored = check_config(demo({"data.datasets.1.metric": "mean_per_class"}))
    assert plain.dataset("digits") != scored.dataset("digits")
    assert plain.image_definition("digits") == scored.image_definition("digits")


def test_asking_a_study_for_what_it_has_not_names_the_nearest():
    study = check_config(demo())
    with pytest.raises(ConfigError, match=r"no dataset 'greeks'\..*Did you mean 'greek'"):
        study.dataset("greeks")
    with pytest.raises(ConfigError, match=r"no backbone.*eps0\.3-.*Did you mean"):
        study.backbone("resnet_small-letters-l2-eps0.3-seed0")


def test_the_grid_of_the_paper_is_checked_and_expanded_within_a_third_of_a_second():
    datasets = [{**DEMO["data"]["datasets"][0], "name": f"set{n}"} for n in range(12)]
    targets = [{"name": f"set{n}", "resolutions": ["native", 32]} for n in range(12)]
    epsilons = [0, 0.01, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 3, 5]
    entries = {"architecture": ["resnet18", "resnet50", "vgg16_bn", "wide_resnet50_4"],
               "norm": "l2", "epsilon": epsilons, "seeds": [0, 1, 2]}  # fmt: skip
    config = demo({"data.datasets": datasets, "pretrain.source": "set0",
                   "pretrain.backbones": [entries], "transfer.datasets": targets})  # fmt: skip
    start = time.perf_counter()
    study = check_config(config)
    assert time.perf_counter() - start < 0.3
    assert len(study.cells) == 12 * 2 * 4 * 10 * 2 * 3


paths = st.sampled_from(
    ["study", "data", "data.datasets", "data.datasets.0", "data.datasets.0.name",
     "data.datasets.5.kind", "pretrain.source", "pretrain.backbones", "pretrain.backbones.0",
     "pretrain.backbones.1.epsilon", "pretrain.recipe", "pretrain.recipe.epochs", "transfer",
     "transfer.seeds", "transfer.datasets", "transfer.datasets.1.resolutions", "analysis",
     "analysis.tests", "analysis.external_accuracy", "report"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.booleans(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(paths, values)
def test_whatever_stands_in_a_config_nothing_but_a_config_error_is_raised(path, value):
    with contextlib.suppress(ConfigError):
        check_config(demo({path: value}))


@pytest.mark.parametrize("config", [None, [], "study: demo", {}])
def test_a_config_that_is_no_study_at_all_is_a_clear_error(config):
    with pytest.raises(UserError, match=r"config\.yaml"):
        check_config(config)


def test_every_key_has_a_description():
    def undescribed(section, path):
        if section.get("type") == "object":
            for name, field in section["properties"].items():
                if not field.get("description"):
                    yield f"{path}.{name}"

    schema = StudyConfig.model_json_schema()
    sections = {"": schema} | schema["$defs"]
    assert [name for path, each in sections.items() for name in undescribed(each, path)] == []


def test_the_alphabets_of_the_config_are_those_of_the_toy_world():
    for alphabet in ALPHABETS:
        check_config(demo({"data.datasets.0.alphabet": alphabet}))
    assert all(name in message({"data.datasets.0.alphabet": "latin"}) for name in ALPHABETS)


def test_architectures_are_listed_as_torchvision_lists_them():
    """In a process of its own: the list must not need torch."""
    program = (
        "import sys; from robust_transfer.config.architectures import torchvision_architectures;"
        "found = torchvision_architectures(); assert 'torch' not in sys.modules;"
        "from torchvision import models;"
        "assert list(found) == sorted(models.list_models(module=models)), found"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120,
                   env={"PYTHONPATH": str(ROOT / "workflow_scripts")})  # fmt: skip


def test_checking_a_config_loads_no_heavy_library():
    program = (
        "import sys; import robust_transfer.config.check;"
        "assert not {'torch', 'torchvision', 'numpy', 'scipy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60,
                   env={"PYTHONPATH": str(ROOT / "workflow_scripts")})  # fmt: skip


@pytest.mark.parametrize(
    ("name", "known"),
    [("resnet_small", True), ("resnet_small_w8", True), ("resnet_small_w0", False),
     ("resnet_smallest", False), ("wide_resnet50_4", True), ("resnet50", True), ("ResNet", False),
     ("../resnet18", False)],
)  # fmt: skip
def test_an_architecture_is_known_by_its_exact_name(name, known):
    assert is_architecture(name) == known
    assert not known or name in architectures() or name.startswith("resnet_small_w")
