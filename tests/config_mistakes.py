"""Each mistake: what is changed in the demo, and the whole message."""

from config_subjects import REMOVED, entry
from robust_transfer.config.data import DATASET_KINDS

MISTAKES = {
    "export without protocol clean": (
        {"report.export": True, "transfer.protocols": ["paper"]},
        "config.yaml, report.export: true, where transfer.protocols has no clean. A model is "
        "chosen on validation and exported by protocol clean: add it, or set export: false.",
    ),
    "unknown key": (
        {"transfer.mode": ["fixed"]},
        "config.yaml, transfer: unknown key 'mode'. This section knows modes, protocols, seeds, "
        "datasets, validation_fraction, fixed, full, from_scratch, paper, controls, robustness. "
        "Did you mean 'modes'?",
    ),
    "unknown section": (
        {"transfers": {}},
        "config.yaml: unknown key 'transfers'. This section knows study, data_root, cache_root, "
        "data, pretrain, transfer, detect, analysis, report, audit. Did you mean 'transfer'?",
    ),
    "key in the wrong section": (
        {"pretrain.momentum": 0.9},
        "config.yaml, pretrain: unknown key 'momentum'. This section knows source, resolution, "
        "image_size, images_on_device_mb, backbones, recipe, evaluation. 'momentum' belongs to "
        "pretrain.recipe or transfer.full or transfer.paper or detect.recipe.",
    ),
    "missing key": (
        {"pretrain.recipe.momentum": REMOVED},
        "config.yaml, pretrain.recipe.momentum: missing. Give it (of SGD).",
    ),
    "missing section": (
        {"report": REMOVED},
        "config.yaml, report: missing. Give it (what the report shows).",
    ),
    "number spelled wrong": (
        {"pretrain.recipe.weight_decay": "small"},
        "config.yaml, pretrain.recipe.weight_decay: 'small' does not fit. Allowed is a number, "
        "such as 0.25, 5e-4 or 8/255 (L2 penalty, as SGD's weight decay).",
    ),
    "division by zero": (
        {"pretrain.recipe.relative_step_size": "2/0"},
        "config.yaml, pretrain.recipe.relative_step_size: '2/0' does not fit. Allowed is a number, "
        "such as 0.25, 5e-4 or 8/255 (step size / epsilon).",
    ),
    "not a number": (
        {"pretrain.recipe.learning_rate": float("nan")},
        "config.yaml, pretrain.recipe.learning_rate: NaN does not fit. Allowed is a number, such "
        "as 0.25, 5e-4 or 8/255 (peak, for one batch of batch_size).",
    ),
    "truth value for a number": (
        {"pretrain.recipe.warmup": True},
        "config.yaml, pretrain.recipe.warmup: true does not fit. Allowed is a number, such as "
        "0.25, 5e-4 or 8/255 (share of the steps in which the learning rate rises).",
    ),
    "number for a truth value": (
        {"pretrain.recipe.random_start": 1},
        "config.yaml, pretrain.recipe.random_start: 1 does not fit. Allowed is true or false "
        "(start each attack at a random point of the ball).",
    ),
    "half a step": (
        {"transfer.full.steps": 2.5},
        "config.yaml, transfer.full.steps: 2.5 does not fit. Allowed is a whole number (optimiser "
        "steps).",
    ),
    "mapping for a list": (
        {"transfer.datasets": {"name": "digits"}},
        'config.yaml, transfer.datasets: {"name": "digits"} does not fit. Allowed is a list (the '
        "targets).",
    ),
    "nothing for a section": (
        {"transfer.full": None},
        "config.yaml, transfer.full: nothing (null) does not fit. Allowed is a mapping of keys to "
        "values (mode full).",
    ),
    "epsilon below 0": (
        {"pretrain.backbones.0.epsilon": [0, -0.25]},
        "config.yaml, pretrain.backbones[0].epsilon[1]: -0.25 is too small. Allowed is at least 0 "
        "(largest attack in training, in pixel units of images in [0, 1]; 0: ordinary training).",
    ),
    "epsilon below 0, as text": (
        {"pretrain.backbones.0.epsilon": "-8/255"},
        "config.yaml, pretrain.backbones[0].epsilon: '-8/255' is too small. Allowed is at least 0 "
        "(largest attack in training, in pixel units of images in [0, 1]; 0: ordinary training).",
    ),
    "share above 1": (
        {"transfer.validation_fraction": 1.5},
        "config.yaml, transfer.validation_fraction: 1.5 is too large. Allowed is less than 1 "
        "(share of the training split that chooses penalty and learning rate).",
    ),
    "unknown mode": (
        {"transfer.modes": ["fixed", "ful"]},
        "config.yaml, transfer.modes[1]: unknown value 'ful'.\n"
        "  Choose one of\n"
        "    fixed: train the new head only\n"
        "    full: train every weight\n"
        "  Did you mean 'full'?",
    ),
    "mode that is no text": (
        {"transfer.modes": [False]},
        "config.yaml, transfer.modes[0]: unknown value false.\n"
        "  Choose one of\n"
        "    fixed: train the new head only\n"
        "    full: train every weight",
    ),
    "unknown protocol": (
        {"transfer.protocols": ["cleen"]},
        "config.yaml, transfer.protocols[0]: unknown value 'cleen'.\n"
        "  Choose one of\n"
        "    clean: selection on a validation split, frozen means frozen\n"
        "    paper: what the published code did: transfer.paper\n"
        "  Did you mean 'clean'?",
    ),
    "unknown norm": (
        {"pretrain.backbones.0.norm": "l_inf"},
        "config.yaml, pretrain.backbones[0].norm: unknown value 'l_inf'.\n"
        "  Choose one of\n"
        "    l2: the Euclidean length of the change of an image\n"
        "    linf: the largest change of a pixel's channel\n"
        "  Did you mean 'linf'?",
    ),
    "unknown architecture": (
        {"pretrain.backbones.1.architecture": "resnet19"},
        "config.yaml, pretrain.backbones[1].architecture: unknown architecture 'resnet19'. Choose "
        "resnet_small, resnet_small_w<width> (such as resnet_small_w32), wide_resnet50_4, or a "
        "classification network of torchvision by its name there, such as resnet18. Did you mean "
        "'resnet18'?",
    ),
    "unknown test": (
        {"analysis.tests": ["welsh"]},
        "config.yaml, analysis.tests[0]: unknown value 'welsh'.\n"
        "  Choose one of\n"
        "    welch: robust against standard backbones, a t-test of unequal variances\n"
        "    pearson: correlation of source accuracy and transfer accuracy\n"
        "  Did you mean 'welch'?",
    ),
    "unknown kind of dataset": (
        {"data.datasets.0.kind": "folders"},
        "config.yaml, data.datasets[0] (letters): unknown kind 'folders'. A dataset's kind is one "
        f"of {', '.join(DATASET_KINDS)}. Did you mean 'folder'?",
    ),
    "dataset without a kind": (
        {"data.datasets.0.kind": REMOVED},
        "config.yaml, data.datasets[0] (letters): no kind. A dataset's kind is one of "
        f"{', '.join(DATASET_KINDS)}.",
    ),
    "unknown key of a dataset": (
        {"data.datasets.1.gratings": 0},
        "config.yaml, data.datasets[1] (digits): unknown key 'gratings'. This section knows name, "
        "kind, metric, alphabet, size, n_train, n_test, seed, grating, contrast. Did you mean "
        "'grating'?",
    ),
    "source that is not defined": (
        {"pretrain.source": "leters"},
        "config.yaml, pretrain.source: unknown dataset 'leters'. data.datasets defines letters, "
        "digits, greek, cyrillic, accents, uci_digits. Did you mean 'letters'?",
    ),
    "target that is not defined": (
        {"transfer.datasets.2.name": "cyrilic"},
        "config.yaml, transfer.datasets[2]: unknown dataset 'cyrilic'. data.datasets defines "
        "letters, digits, greek, cyrillic, accents, uci_digits. Did you mean 'cyrillic'?",
    ),
    "duplicate dataset": (
        {"data.datasets.2.name": "digits", "transfer.datasets.1.name": "uci_digits",
         "transfer.datasets.4.name": "letters"},
        "config.yaml, data.datasets[2]: dataset 'digits' stands already in [1]. Give each dataset "
        "its own name.",
    ),
    "duplicate target": (
        {"transfer.datasets.4.name": "digits"},
        "config.yaml, transfer.datasets[4]: dataset 'digits' stands already in [0]. Name each "
        "once; `resolutions` takes several values.",
    ),
    "duplicate backbones": (
        {"pretrain.backbones.1.epsilon": ["3/20"]},
        "config.yaml, pretrain.backbones[1]: duplicate backbone (resnet_small, l2, epsilon 0.15, "
        "seed 0): pretrain.backbones[0] gives it too. Each backbone is trained once: remove it "
        "from one of the two entries.",
    ),
    "grey levels for pixels": (
        {"pretrain.backbones": [entry(norm="linf", epsilon=[0, 8, 16])]},
        "config.yaml, pretrain.backbones[0].epsilon: 8 in the norm linf, where any image is within "
        "1 of any other. Epsilon is in units of pixels in [0, 1]: for grey levels write 8/255.",
    ),
    "backbones of one name": (
        {"pretrain.backbones": [entry(epsilon=[0]), entry(epsilon=["8/255"]),
                                entry(epsilon=[0.0314])]},
        "config.yaml, pretrain.backbones[2]: epsilon 0.0314 and 0.03137254901960784 (of "
        "pretrain.backbones[1]) are the same to three digits, which is how backbones are named. "
        "Keep one of the two, or choose them further apart.",
    ),
    "epsilon twice in one entry": (
        {"pretrain.backbones.0.epsilon": [0, 0.25, "1/4"]},
        "config.yaml, pretrain.backbones[0].epsilon: 0.25 stands twice. Name each element once.",
    ),
    "seed twice": (
        {"transfer.seeds": [0, 1, 1]},
        "config.yaml, transfer.seeds: 1 stands twice. Name each element once.",
    ),
    "one seed for a Welch test": (
        {"transfer.seeds": [0]},
        "config.yaml, transfer.seeds: one seed, where analysis.tests asks for welch. A Welch test "
        "needs at least 2 replicates a cell, and resnet_small, l2, epsilon 0.1 has one pretraining "
        "seed as well. Give transfer.seeds at least 2 seeds, or every entry of "
        "pretrain.backbones, or remove welch from analysis.tests.",
    ),
    "no seed": (
        {"transfer.seeds": []},
        "config.yaml, transfer.seeds: [] is empty. Give at least one (each draws its own "
        "validation split, head and order of images).",
    ),
    "study that is no name": (
        {"study": "my/study"},
        "config.yaml, study: 'my/study' does not fit. Allowed is letters, digits, _ and . only, no "
        "dot in front: a name becomes part of a path (name of the study: results go to "
        "results/<study>/).",
    ),
    "dataset that is a number": (
        {"data.datasets.3.name": 101, "transfer.datasets.2.name": "letters"},
        "config.yaml, data.datasets[3].name (101): 101 does not fit. Allowed is text; quote it if "
        "YAML takes it for something else (what the rest of the config calls it).",
    ),
    "resolution of no pixels": (
        {"transfer.datasets.1.resolutions": ["native", 0]},
        "config.yaml, transfer.datasets[1].resolutions[1] (greek): 0 does not fit. Allowed is "
        "`native`, or pixels a side as a positive whole number (native, or pixels a side).",
    ),
    "resolution named twice": (
        {"transfer.datasets.1.resolutions": [32, "32"]},
        "config.yaml, transfer.datasets[1].resolutions (greek): '32' stands twice. Name each "
        "element once.",
    ),
    "no backbone": (
        {"pretrain.backbones": []},
        "config.yaml, pretrain.backbones: an empty list. Nothing would be measured: give at least "
        "one, or published accuracies in analysis.external_accuracy.",
    ),
    "no target": (
        {"transfer.datasets": []},
        "config.yaml, transfer.datasets: an empty list. Nothing would be measured: give at least "
        "one, or published accuracies in analysis.external_accuracy.",
    ),
    "no attack size": (
        {"pretrain.evaluation.epsilons": []},
        "config.yaml, pretrain.evaluation.epsilons: [] is empty. Give at least one (attack sizes, "
        "in the norm of the backbone).",
    ),
    "images that are neither all nor a number": (
        {"pretrain.evaluation.images": "every"},
        "config.yaml, pretrain.evaluation.images: 'every' does not fit. Allowed is `all`, or a "
        "positive whole number (test images attacked, of all classes alike; all: every one).",
    ),
    "split without a seed": (
        {"data.datasets.6": {"name": "x", "kind": "folder", "path": "x", "test_fraction": 0.2}},
        "config.yaml, data.datasets[6] (x): test_fraction without split_seed. What is drawn at "
        "random needs a seed.",
    ),
    "test images from a folder and from a split": (
        {"data.datasets.6": {"name": "x", "kind": "folder", "path": "x", "test_fraction": 0.2,
                             "split_seed": 0, "test_folder": "val"}},
        "config.yaml, data.datasets[6] (x): both test_folder and test_fraction. Test images come "
        "either from a folder or from a split: remove one of the two.",
    ),
    "split that a published dataset does not have": (
        {"data.datasets.6": {"name": "x", "kind": "pets", "split": "standard"}},
        "config.yaml, data.datasets[6] (x): split 'standard' of pets. It has one split: paper.",
    ),
    "published split that is drawn, without a seed": (
        {"data.datasets.6": {"name": "x", "kind": "caltech101", "split": "standard"}},
        "config.yaml, data.datasets[6] (x): images drawn without split_seed. What is drawn at "
        "random needs a seed.",
    ),
    "seed of a split that is fixed": (
        {"data.datasets.6": {"name": "x", "kind": "pets", "split_seed": 0}},
        "config.yaml, data.datasets[6] (x): split_seed without anything to draw. The paper split "
        "of pets is fixed: remove it, or say what is drawn.",
    ),
    "partition of a dataset that has none": (
        {"data.datasets.6": {"name": "x", "kind": "food", "partition": 2}},
        "config.yaml, data.datasets[6] (x): partition of food. Only dtd and sun397 have "
        "partitions.",
    ),
    "download to a place of one's own": (
        {"data.datasets.6": {"name": "x", "kind": "food", "path": "f", "download": True}},
        "config.yaml, data.datasets[6] (x): both path and download. A download goes to its own "
        "folder: remove path.",
    ),
    "table split without a seed": (
        {"data.datasets.6": {"name": "x", "kind": "csv", "path": "x.csv", "test_fraction": 0.2}},
        "config.yaml, data.datasets[6] (x): test_fraction without split_seed. What is drawn at "
        "random needs a seed.",
    ),
}  # fmt: skip
