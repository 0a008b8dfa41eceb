"""Data that a config names must be there, unless they will be fetched or nobody asks for them."""

from config_subjects import demo, message
from robust_transfer.config.check import check_config


def folder_study(root, path, **options):
    folder = {"name": "photos", "kind": "folder", "path": path, **options}
    return {"data_root": str(root), "data.datasets.6": folder,
            "transfer.datasets.5": {"name": "photos", "resolutions": [32]}}  # fmt: skip


def test_a_missing_image_folder_says_which_path_was_looked_for_and_what_is_near(tmp_path):
    (tmp_path / "flowers").mkdir()
    text = message(folder_study(tmp_path, "flower/jpg"))
    assert text == (
        f"config.yaml, data.datasets[6].path (photos): no folder 'flower/jpg' below data_root "
        f"'{tmp_path}'. Looked for {tmp_path}/flower/jpg; {tmp_path} exists but holds no 'flower'. "
        "Put the images there, or set data_root (in the config, or by --config on the command "
        "line) to the folder that holds them. Did you mean 'flowers'?"
    )


def published_study(root, **keys):
    definition = {"name": "cars_196", "kind": "cars", **keys}
    return {"data_root": str(root), "data.datasets.6": definition,
            "transfer.datasets.5": {"name": "cars_196", "resolutions": [32]}}  # fmt: skip


def test_a_published_dataset_that_is_not_there_is_told_with_how_to_get_it(tmp_path):
    text = message(published_study(tmp_path))
    assert f"no folder {tmp_path}/stanford_cars" in text
    assert "Kaggle" in text
    assert "cars_test_annos_withlabels.mat" in text


def test_a_download_that_no_longer_exists_is_refused_before_any_job(tmp_path):
    text = message(published_study(tmp_path, download=True))
    assert "data.datasets[6] (cars_196).download: nothing can be downloaded" in text


def test_a_dataset_that_will_be_fetched_need_not_be_there_and_has_the_metric_of_the_paper(tmp_path):
    study = check_config(demo(published_study(tmp_path, kind="pets", download=True)))
    assert study.dataset("cars_196")["metric"] == "mean_per_class"
    there = check_config(demo(published_study(tmp_path, kind="pets")), data_root_must_exist=False)
    assert study.image_definition("cars_196") == there.image_definition("cars_196")


def test_an_image_folder_that_exists_passes(tmp_path):
    (tmp_path / "photos").mkdir()
    study = check_config(demo(folder_study(tmp_path, "photos", max_train=100, split_seed=0)))
    assert study.dataset("photos")["max_train"] == 100


def test_the_folder_of_a_dataset_that_the_study_does_not_use_is_not_asked_for(tmp_path):
    changes = folder_study(tmp_path, "nowhere")
    del changes["transfer.datasets.5"]
    check_config(demo(changes))


def test_no_folder_is_asked_for_when_data_root_need_not_exist(tmp_path):
    check_config(demo(folder_study(tmp_path, "nowhere")), data_root_must_exist=False)
