"""A made-up study of the demo's shape, for the tests of figures and report."""

import warnings

import numpy as np
import pandas as pd
import yaml
from robust_transfer.figures.results import SELECTED, plain
from robust_transfer.statistics import (
    equivalence,
    granularity_table,
    headline,
    mixed_table,
    selected,
    tables,
)
from scipy import stats

BACKBONES = [(0.0, 0), (0.0, 1), (0.25, 0), (0.25, 1), (0.5, 0), (1.0, 0)]
DATASETS = {
    "digits": ["native"],
    "greek": ["native", "32"],
    "cyrillic": ["native"],
    "accents": ["native", "32"],
    "uci_digits": ["native"],
}
BASE = {"digits": 0.977, "greek": 0.904, "cyrillic": 0.952, "accents": 0.70, "uci_digits": 0.817}
GAIN = {"digits": 0.006, "greek": 0.035, "cyrillic": 0.015, "accents": -0.03, "uci_digits": 0.06}

CONFIG = yaml.safe_load("""
study: demo
data:
  datasets:
    - {name: letters, kind: toy, alphabet: letters, grating: 0.4}
    - {name: digits, kind: toy, grating: 0}
    - {name: greek, kind: toy, grating: 0}
    - {name: cyrillic, kind: toy, grating: 0}
    - {name: accents, kind: toy, grating: 0}
    - {name: uci_digits, kind: uci_digits}
pretrain: {source: letters, recipe: {epochs: 12}}
transfer: {modes: [fixed, full], protocols: [clean], seeds: [0, 1, 2]}
analysis: {confidence: 0.95}
report: {title: "Do robust backbones transfer better? A toy world", example_images: 8}
""")


def accuracy_table(datasets=DATASETS, backbones=BACKBONES, seeds=(0, 1, 2), draw=0):
    """Rows as accuracy.csv has them, with accuracies that are shares of 1000 images."""
    generator = np.random.default_rng(draw)
    rows = []
    for epsilon, pretrain_seed in backbones:
        source = 0.99 - 0.01 * epsilon + generator.normal(0, 0.001)
        shift = generator.normal(0, 0.002)
        for dataset, resolutions in datasets.items():
            for resolution in resolutions:
                for mode in ("fixed", "full"):
                    for seed in seeds:
                        rows.append(
                            _row(
                                generator,
                                epsilon,
                                pretrain_seed,
                                source,
                                shift,
                                dataset,
                                resolution,
                                mode,
                                seed,
                            )
                        )
    return pd.DataFrame(rows)


def _row(generator, epsilon, pretrain_seed, source, shift, dataset, resolution, mode, seed):
    base, gain = BASE.get(dataset, 0.85), GAIN.get(dataset, 0.01)
    value = base + shift + gain * (1 - (1 - epsilon / 0.5) ** 2 if epsilon < 1 else 0.5)
    value -= 0.08 * (resolution == "32")
    if mode == "full":
        value = 1 - (1 - value) * 0.3
    value = round(float(np.clip(value + generator.normal(0, 0.003), 0, 1)), 3)
    return {
        "architecture": "resnet_small",
        "source": "letters",
        "norm": "l2",
        "epsilon": epsilon,
        "pretrain_seed": pretrain_seed,
        "dataset": dataset,
        "resolution": resolution,
        "mode": mode,
        "protocol": "clean",
        "transfer_seed": seed,
        "n_test": 1000,
        "metric": "top1",
        "accuracy": value,
        "source_accuracy": source,
        "origin": "run",
        "backbone": f"resnet_small-letters-l2-eps{epsilon:g}-seed{pretrain_seed}",
        "validation_accuracy": min(1.0, value + 0.004),
        "seconds": (1.1 if mode == "fixed" else 9.0) * float(generator.uniform(0.9, 1.1)),
    }


def welch_table(accuracy):
    """Rows as welch.csv has them, by SciPy; Holm by hand."""
    rows = []
    keys = ["mode", "dataset", "resolution", "architecture", "norm"]
    for key, group in accuracy.groupby(keys):
        standard = group[group["epsilon"] == 0]
        for epsilon in sorted(set(group["epsilon"]) - {0.0}):
            robust = group[group["epsilon"] == epsilon]
            rows.append(
                dict(zip(keys, key, strict=True)) | {"epsilon": epsilon} | _welch(robust, standard)
            )
    table = pd.DataFrame(rows)
    order = table["p_value"].sort_values().index
    steps = table.loc[order, "p_value"] * np.arange(len(order), 0, -1)
    table.loc[order, "p_adjusted"] = steps.cummax().clip(upper=1)
    return table


def _welch(robust, standard):
    unit = "pretrain_seed"
    samples = [part.groupby("pretrain_seed")["accuracy"].mean() for part in (robust, standard)]
    if min(len(sample) for sample in samples) < 2:
        unit, samples = (
            "transfer_seed",
            [part.groupby("transfer_seed")["accuracy"].mean() for part in (robust, standard)],
        )
    if min(len(sample) for sample in samples) < 2:
        empty = dict.fromkeys(["ci_low", "ci_high", "t", "dof", "p_value"], np.nan)
        return {
            "n_robust": len(samples[0]),
            "n_standard": len(samples[1]),
            "mean_robust": samples[0].mean(),
            "mean_standard": samples[1].mean(),
            "difference": samples[0].mean() - samples[1].mean(),
            **empty,
            "replicate": "none",
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # made-up replicates may be equal
        test = stats.ttest_ind(*samples, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return {
        "n_robust": len(samples[0]),
        "n_standard": len(samples[1]),
        "mean_robust": samples[0].mean(),
        "mean_standard": samples[1].mean(),
        "difference": samples[0].mean() - samples[1].mean(),
        "ci_low": low,
        "ci_high": high,
        "t": test.statistic,
        "dof": test.df,
        "p_value": test.pvalue,
        "replicate": unit,
    }


def selected_table(accuracy):
    """Rows as welch_selected.csv has them, with the columns and types of the file."""
    if accuracy.empty:
        return plain(pd.DataFrame(), SELECTED)
    rows = tables.typed(accuracy.reindex(columns=list(tables.ACCURACY)))
    return selected.selected_table(rows, confidence=0.95)


def results(accuracy, *, welch=None, pearson=None):
    """Every table of a study by name, for figures and report."""
    found = {
        "accuracy": accuracy,
        "welch": welch_table(accuracy) if welch is None else welch,
        "welch_selected": selected_table(accuracy),
        "pearson": pearson_table(accuracy) if pearson is None else pearson,
    }
    if accuracy.empty:
        return found
    rows = tables.typed(accuracy.reindex(columns=list(tables.ACCURACY)))
    measured = granularity(accuracy)
    points = granularity_table.granularity_points(rows, measured)
    effects, diagnostics, _ = mixed_table.mixed_tables(rows, measured, confidence=0.95)
    return found | {
        "headline": headline.headline_table(rows),
        "equivalence": equivalence.equivalence_table(
            rows, bound=0.01, placebo_epsilon=0.01, confidence=0.95
        ),
        "recommendation": recommendation(accuracy),
        "mixed_effects": effects,
        "mixed_diagnostics": diagnostics,
        "granularity": measured,
        "granularity_points": points,
        "granularity_prediction": granularity_table.granularity_predictions(
            points, confidence=0.95
        ),
    }


def granularity(accuracy):
    """Rows as granularity.csv has them, drawn at random."""
    generator = np.random.default_rng(2)
    places = accuracy[["dataset", "resolution"]].drop_duplicates()
    rows = [
        {
            "dataset": dataset,
            "resolution": resolution,
            "backbone": "a backbone",
            "images": 1000,
            **{name: generator.uniform(0.1, 2) for name in granularity_table.MEASURES},
        }
        for dataset, resolution in places.itertuples(index=False)
    ]
    return tables.make_table(rows, granularity_table.COLUMNS)


def recommendation(accuracy):
    """Rows as recommendation.csv has them; the probabilities are made up."""
    keys = ["dataset", "resolution", "protocol", "metric", "source", "architecture", "norm"]
    keys += ["epsilon", "mode"]
    means = accuracy.groupby(keys)["accuracy"].mean().reset_index()
    means = means.sort_values(["dataset", "resolution", "accuracy"], ascending=[True, True, False])
    first = ~means.duplicated(["dataset", "resolution"])
    return means.assign(
        recommended=first.astype(float),
        ci_low=means["accuracy"] - 0.01,
        ci_high=means["accuracy"] + 0.01,
        probability_best=np.where(first, 0.8, 0.1),
        regret=0.002,
        regret_high=0.01,
        n=3,
        unit="transfer_seed",
    ).reset_index(drop=True)


def pearson_table(accuracy):
    """Rows as pearson.csv has them: pooled over epsilon, and one row an epsilon."""
    rows = []
    keys = ["mode", "dataset", "resolution", "norm"]
    for key, group in accuracy.groupby(keys):
        for epsilon in [np.nan, *sorted(set(group["epsilon"]))]:
            part = group if np.isnan(epsilon) else group[group["epsilon"] == epsilon]
            points = part.groupby(["epsilon", "pretrain_seed"])[
                ["source_accuracy", "accuracy"]
            ].mean()
            row = dict(zip(keys, key, strict=True)) | {"epsilon": epsilon, "n": len(points)}
            if len(points) > 3:
                test = stats.pearsonr(points["source_accuracy"], points["accuracy"])
                low, high = test.confidence_interval(0.95)
                row |= {
                    "r": test.statistic,
                    "ci_low": low,
                    "ci_high": high,
                    "p_value": test.pvalue,
                    "r_squared": test.statistic**2,
                }
            rows.append(row)
    columns = [*keys, "epsilon", "n", "r", "ci_low", "ci_high", "p_value", "r_squared"]
    return pd.DataFrame(rows, columns=columns)


def write_backbone_files(folder, backbones=BACKBONES, images=8):
    """Write history.csv and examples.npz of each backbone; return both lists of paths."""
    generator = np.random.default_rng(1)
    clean = generator.integers(40, 216, (images, 24, 24, 3)).astype(np.uint8)
    clean[:, 6:18, 10:14] = 250
    histories, examples = [], []
    for epsilon, seed in backbones:
        home = folder / f"resnet_small-letters-l2-eps{epsilon:g}-seed{seed}"
        home.mkdir(parents=True)
        epochs = np.arange(1, 13)
        learned = 1 - np.exp(-epochs / (2 + 2 * epsilon))
        pd.DataFrame(
            {
                "step": 28 * epochs,
                "train_loss": 2.5 * (1 - learned) + 0.02 + epsilon / 5,
                "validation_accuracy": 0.08 + 0.9 * learned,
                "validation_robust_accuracy": 0.08 + (0.1 + 0.5 * epsilon**0.3) * learned,
                "learning_rate": 0.2 * learned,
                "seconds": epochs * (1 + 2.5 * (epsilon > 0)),
            }
        ).to_csv(home / "history.csv", index=False)
        change = generator.normal(0, 0.01, clean.shape).astype(np.float32)
        labels = np.arange(images) % 4
        np.savez(
            home / "examples.npz",
            clean=clean,
            perturbation=change,
            labels=labels,
            attacked=(clean + 255 * change).clip(0, 255).round().astype(np.uint8),
            predicted_clean=labels,
            predicted_attacked=(labels + (generator.random(images) > epsilon)) % 4,
            classes=np.array(list("ABDE")),
            norm=np.array("l2"),
            epsilon=np.array(0.5),
        )
        histories.append(home / "history.csv")
        examples.append(home / "examples.npz")
    return histories, examples
