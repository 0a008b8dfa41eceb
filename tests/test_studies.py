"""The studies that ship: each is a config that passes every check, and plans without any data."""

from pathlib import Path

import pytest
import yaml
from robust_transfer.config.check import check_config, what_is_missing
from robust_transfer.config.cost import gpu_hours, main
from robust_transfer.config.published import published_datasets
from robust_transfer.config.released import released_models
from snakemake.utils import update_config
from workflow import ROOT, copy_workflow, plan, planned

PAPER = ("paper", "paper_released")
TWELVE = {
    "aircraft", "birdsnap", "caltech101", "caltech256", "cars", "cifar10", "cifar100", "dtd",
    "flowers", "food", "pets", "sun397",
}  # fmt: skip


def read(name):
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    update_config(config, yaml.safe_load((ROOT / f"studies/{name}.yaml").read_text()))
    return config


def checked(name):
    return check_config(read(name), data_root_must_exist=False)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The code in a folder of its own, where there are no data."""
    folder = copy_workflow(tmp_path_factory.mktemp("clone"))
    (folder / "studies").symlink_to(ROOT / "studies")
    return folder


@pytest.mark.parametrize("name", PAPER)
def test_the_studies_of_the_paper_have_its_sets_modes_protocols_and_seeds(name):
    study = checked(name)
    assert {dataset for dataset, _ in study.targets} == TWELVE
    assert {d for d, resolution in study.targets if resolution == "32"} == TWELVE - {
        "cifar10", "cifar100",
    }  # fmt: skip
    assert {cell.mode for cell in study.cells} == {"fixed", "full"}
    assert {cell.protocol for cell in study.cells} == {"clean", "paper"}
    assert study.transfer_seeds == [0, 1, 2]
    metrics = {name: published_datasets()[name].metric for name in TWELVE}
    assert {name: study.dataset(name)["metric"] for name in TWELVE} == metrics


@pytest.mark.parametrize("name", PAPER)
def test_the_studies_of_the_paper_have_its_networks_and_epsilons(name):
    backbones = {(b.architecture, b.norm, b.epsilon) for b in checked(name).backbones}
    assert backbones == set(released_models())  # the authors released what the paper has


def test_the_released_study_is_the_papers_but_for_the_weights():
    paper, released = read("paper"), read("paper_released")
    for section in ("data", "transfer", "analysis"):
        assert paper[section] == released[section]
    study = checked("paper_released")
    assert set(study.imported) == {backbone.name for backbone in study.backbones}
    assert all(each["source_accuracy"] for each in study.imported.values())


def test_every_study_that_ships_is_known_here():
    found = {path.stem for path in (ROOT / "studies").glob("*.yaml")}
    detection = {"toy_detection", "real_detection", "paper_detection"}
    assert found == {*PAPER, *detection, "my_images", "published", "real_small"}


def test_the_papers_detectors_stand_on_its_resnet50_grid():
    study = checked("paper_detection")
    epsilons = [0, 0.01, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 3, 5]
    assert [backbone.epsilon for backbone in study.backbones] == epsilons
    assert {cell.backbone.architecture for cell in study.detectors} == {"resnet50"}
    assert {(cell.dataset, cell.detector) for cell in study.detectors} == {
        ("voc", "faster_rcnn"), ("coco", "mask_rcnn")}  # fmt: skip
    assert len(study.detectors) == 2 * (len(epsilons) + 1)  # and a control


@pytest.mark.workflow
@pytest.mark.parametrize("name", ["toy_detection", "real_detection", "paper_detection"])
def test_the_studies_of_detectors_plan_without_data(name, clone):
    study = checked(name)
    rules = plan(clone, "--quiet", "rules", study=("--configfile", f"studies/{name}.yaml"))
    runs = len(study.detectors) * len(study.settings["detect"]["seeds"])
    assert rules["train_detector"] == rules["score_detections"] == runs
    assert "transfer_backbone" not in rules
    assert not Path(clone, "results").exists()


@pytest.mark.parametrize("name", PAPER)
def test_what_is_missing_is_named_with_how_to_get_it(name, tmp_path):
    config = read(name) | {"data_root": str(tmp_path)}
    said = "\n".join(what_is_missing(config))
    for dataset in ("birdsnap", "cars", "sun397"):
        assert published_datasets()[dataset].how_to_get() in said
    assert "(pets)" not in said  # it is downloaded
    assert ("(imagenet)" in said) == (name == "paper")


@pytest.mark.parametrize("name", PAPER)
def test_the_cost_in_the_documentation_is_what_the_program_prints(name, capsys):
    rates = ["--standard", "2470", "--pgd3", "823", "--forward", "6960"]
    main([str(ROOT / f"studies/{name}.yaml"), *rates])
    place = 2 + PAPER.index(name)
    text = (ROOT / "docs/cost.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 4]
    documented = {row[1].strip(): row[place].strip() for row in rows}
    for line in capsys.readouterr().out.splitlines():
        _, part, hours, _ = line.split("|")
        assert documented[part.strip()] == hours.strip()


def test_twice_the_rate_is_half_the_cost_and_a_pretraining_is_its_images_over_the_rate():
    study = checked("paper")
    cost = gpu_hours(study, standard=4000, pgd3=1500, forward=12000)
    half = gpu_hours(study, standard=8000, pgd3=3000, forward=24000)
    assert half == pytest.approx({part: hours / 2 for part, hours in cost.items()})
    epoch = 1_281_167 / 3600
    # Of three pretrainings one epsilon is 0, nine are above; and five of the Linf grid.
    hours = 90 * epoch * (3 / 4000 + 27 / 1500 + 5 / 1500)
    assert cost["pretraining resnet50"] == pytest.approx(hours)


def test_label_budgets_send_no_image_through_the_network_again():
    rates = {"standard": 4000, "pgd3": 1500, "forward": 12000}
    config = read("paper")
    config["transfer"]["fixed"]["label_budgets"] = [1, 10, "all"]
    few = check_config(config, where="paper", data_root_must_exist=False)
    one, other = (gpu_hours(study, **rates) for study in (checked("paper"), few))
    assert one["transfer fixed, clean"] == pytest.approx(other["transfer fixed, clean"])


@pytest.mark.workflow
@pytest.mark.parametrize("name", PAPER)
def test_the_studies_of_the_paper_plan_without_data(name, clone):
    study = checked(name)
    rules = planned(clone, f"studies/{name}.yaml")["rules"]
    trained = len(study.backbones) - len(study.imported)
    assert rules["transfer_backbone"] == len(study.cells)
    assert rules.get("pretrain_backbone", 0) == trained
    assert rules.get("import_backbone", 0) == len(study.imported)
    assert rules["build_image_cache"] == len(study.caches)
    assert rules["fetch_dataset"] == 9
    assert not Path(clone, "results").exists()


@pytest.mark.workflow
def test_the_published_study_plans_without_data(clone):
    rules = plan(clone, study=("--configfile", "studies/published.yaml"))
    assert "transfer_backbone" not in rules
    assert rules["write_report"] == 1
