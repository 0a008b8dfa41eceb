"""The chosen model of a dataset: fitted again, checked, and written for plain torchvision."""

import csv
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.weights import load_backbone
from robust_transfer.errors import DataError
from robust_transfer.files import sha256, whole_file, write_json, write_text
from robust_transfer.images.cache import load_cache
from robust_transfer.training.augmentation import as_pixels
from robust_transfer.training.device import best_device
from robust_transfer.transfer.fixed import Probing
from robust_transfer.transfer.full import Finetuning, remove_states
from robust_transfer.transfer.mistakes import confusion, losses, most_wrong
from robust_transfer.transfer.predictions import Predictions, load_predictions, save_predictions
from robust_transfer.transfer.snippet import snippet, torchvision_state
from robust_transfer.transfer.target import Outcome, Target, load_target

SCHEMA_VERSION = 1
CANDIDATE = ("source", "architecture", "norm", "mode")  # and epsilon
#: Images shown of those that the model gets most wrong.
MOST_MISTAKES = 24
_BATCH = 256


def export_model(
    recommendation: str | Path,
    *,
    weights: list[str],
    cache_folder: str | Path,
    predictions: list[str],
    records: list[str],
    outputs: dict[str, str],
    settings: dict[str, dict[str, Any]],
    native_short_side: int | None,
    code: str,
) -> None:
    """Write the model to use for one dataset, chosen on validation, and where it errs.

    The backbone, epsilon and mode are those that recommendation.csv recommends; of their runs the
    one with the best validation accuracy is fitted again, with the same code and seed, as a
    transfer keeps predictions alone. How far its logits are from those stored stands in the record.

    Args:
        recommendation: recommendation.csv.
        weights: of every backbone of the study.
        cache_folder: of the dataset.
        predictions: of every run on the dataset in protocol clean.
        records: transfer.json of each, in the same order.
        outputs: paths of `model`, `snippet`, `classes`, `logits` (its predictions), `confusion`,
            `mistakes` and `about` (its record).
        settings: what `transfer_cell` was given, by mode.
        native_short_side: of a native cache, as the config has it.
        code: digest of the code.

    Raises:
        DataError: nothing is recommended for the dataset, or the runs are not the study's.
    """
    start = time.monotonic()
    cell = next(iter(settings.values()))["cell"]
    runs = [json.loads(Path(path).read_text(encoding="utf-8")) for path in records]
    place = choose_run(_recommended(recommendation, cell), runs, where=recommendation)
    run, stored = runs[place], load_predictions(predictions[place])
    own = settings[run["mode"]]
    backbone, header = load_backbone(_named(weights, run["backbone"]))
    target = load_target(
        cache_folder, image_size=header["image_size"], metric=cell["metric"], device=best_device()
    )
    question = f"{code}|{sha256(Path(cache_folder) / 'manifest.json')}|{run['backbone']}"
    outcome = _fit(backbone.to(target.images.device), target, own, run, outputs["model"], question)
    model = outcome.model().eval()
    about = _about(run, cell, header) | {"native_short_side": native_short_side}
    _write_model(outputs, model, about, list(load_cache(cache_folder).classes))
    said = Predictions(stored.index, stored.labels, exact_logits(model, target).numpy())
    save_predictions(outputs["logits"], said)
    _write_mistakes(outputs, said, cache_folder, target)
    record = _record(outputs["model"], about, run, stored, said, outcome, model)
    record |= {"seconds": _seconds(run, model, target, start)}
    write_json(outputs["about"], record)
    remove_states(outputs["model"])


def _about(run: dict[str, Any], cell: dict[str, Any], header: dict[str, Any]) -> dict[str, Any]:
    """Say which run is exported, and what its network takes."""
    keys = ("backbone", *CANDIDATE, "epsilon", "pretrain_seed", "transfer_seed", "selected")
    return {
        **{key: cell[key] for key in ("dataset", "resolution")},
        **{key: run[key] for key in keys},
        **{key: header[key] for key in ("image_size", "mean", "std")},
    }


def choose_run(row: dict[str, str], runs: list[dict[str, Any]], *, where: str | Path) -> int:
    """Return the place of the run with the best validation accuracy among a candidate's.

    Args:
        row: of recommendation.csv: the candidate.
        runs: records of transfers.
        where: the file, for the message.

    Raises:
        DataError: no run is the candidate's.
    """
    places = [
        place
        for place, run in enumerate(runs)
        if all(str(run[key]) == row[key] for key in CANDIDATE)
        and math.isclose(run["epsilon"], float(row["epsilon"]), rel_tol=1e-9)
    ]
    if not places:
        raise DataError(f"{where}: recommends what no transfer of this study is: {row}.")
    # Where nothing could be held out there is no validation accuracy: the first run is taken.
    return max(places, key=lambda place: (runs[place]["validation_accuracy"] or 0.0, -place))


@torch.inference_mode()
def exact_logits(model: nn.Module, target: Target) -> Tensor:
    """Return the (n_test, classes) logits of a model in full float32 precision, on the CPU.

    Args:
        model: in eval mode, on the target's device.
        target: the dataset.
    """
    test = target.images[target.n_train :]
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return torch.cat([model(as_pixels(batch)).cpu() for batch in test.split(_BATCH)])


def _recommended(recommendation: str | Path, cell: dict[str, Any]) -> dict[str, str]:
    """Return the row of recommendation.csv that is recommended for a dataset."""
    with Path(recommendation).open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            same = all(row[key] == cell[key] for key in ("dataset", "resolution", "protocol"))
            if same and float(row["recommended"]) == 1:
                return row
    raise DataError(f"{recommendation}: recommends nothing for {cell['dataset']}.")


def _named(weights: list[str], name: str) -> str:
    """Return the file of weights of a backbone, by the name in its header."""
    for path in weights:
        with safe_open(path, framework="pt") as file:
            if json.loads(file.metadata()["recipe"])["name"] == name:
                return path
    raise DataError(f"no weights of the backbone {name} among {', '.join(weights)}.")


def _fit(
    backbone: Backbone,
    target: Target,
    settings: dict[str, Any],
    run: dict[str, Any],
    output: str,
    question: str,
) -> Outcome:
    """Transfer once more, as the run did: probes of all seeds are fitted together."""
    recipe, seed = settings["recipe"], run["transfer_seed"]
    if run["mode"] == "fixed":
        outcomes = list(Probing(backbone, target, recipe).outcomes(settings["seeds"]))
        return outcomes[settings["seeds"].index(seed)]
    return Finetuning(backbone, target, recipe, output=output, question=question).seed(seed)


def _write_model(
    outputs: dict[str, str], model: nn.Module, about: dict[str, Any], classes: list[str]
) -> None:
    """Write the weights under torchvision's keys, the classes, and the lines that load them."""
    assert isinstance(model, Backbone)
    state = torchvision_state(about["architecture"], model.network_state())
    state = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    header = {"format": "pt", "model": json.dumps(about | {"classes": classes}, sort_keys=True)}
    with whole_file(outputs["model"]) as beside:
        save_file(state, beside, metadata=header)
    write_text(outputs["classes"], "".join(f"{name}\n" for name in classes))
    write_text(outputs["snippet"], snippet(about))


def _write_mistakes(
    outputs: dict[str, str], said: Predictions, cache_folder: str | Path, target: Target
) -> None:
    """Write the confusion matrix, and the images that are most wrong as the network sees them."""
    cache = load_cache(cache_folder)
    with whole_file(outputs["confusion"]) as beside, beside.open("w", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["true", *cache.classes])
        rows.writerows(
            [name, *counts]
            for name, counts in zip(cache.classes, confusion(said).tolist(), strict=True)
        )
    worst = most_wrong(said, MOST_MISTAKES)
    shown = target.images[torch.as_tensor(said.index[worst], device=target.images.device)]
    with (Path(cache_folder) / "files.csv").open(newline="", encoding="utf-8") as stream:
        files = {int(row["index"]): row["path"] for row in csv.DictReader(stream)}
    names = np.array(cache.classes)
    with whole_file(outputs["mistakes"]) as beside:
        np.savez(
            beside,
            images=shown.permute(0, 2, 3, 1).cpu().numpy(),
            paths=np.array([files[index] for index in said.index[worst].tolist()], dtype=np.str_),
            true=names[said.labels[worst]],
            predicted=names[said.predicted[worst]],
            loss=losses(said)[worst],
        )
    wrong = int((said.predicted != said.labels).sum())
    print(f"{wrong} of {len(said.labels)} test images are wrong", file=sys.stderr)


def _record(
    path: str,
    about: dict[str, Any],
    run: dict[str, Any],
    stored: Predictions,
    said: Predictions,
    outcome: Outcome,
    model: nn.Module,
) -> dict[str, Any]:
    """Describe an exported model, and how near its fit is to the run that it repeats."""
    again = np.abs(outcome.logits.float().cpu().numpy() - stored.logits).max()
    return {
        "schema_version": SCHEMA_VERSION,
        **about,
        "chosen_on": "validation",
        "validation_accuracy": run["validation_accuracy"],
        "classes": said.logits.shape[1],
        "test_images": len(said.labels),
        "accuracy": float((said.predicted == said.labels).mean()),
        "refit_largest_difference": float(again),
        "refit_same_class": float((said.predicted == stored.predicted).mean()),
        "parameters": sum(each.numel() for each in model.parameters()),
        "file_bytes": Path(path).stat().st_size,
        "images_through_network": run["images_through_network"],
        "device": str(outcome.logits.device),
    }


def _seconds(
    run: dict[str, Any], model: nn.Module, target: Target, start: float, repeats: int = 5
) -> dict[str, float]:
    """Return what the run and the export took, and an image in batches of 64 (a median)."""
    batch = as_pixels(target.images[:64])
    taken = []
    with torch.inference_mode():
        for _ in range(repeats + 1):  # the first warms up
            before = time.monotonic()
            model(batch).argmax(1).cpu()
            taken.append(time.monotonic() - before)
    per_image = float(np.median(taken[1:])) / len(batch)
    return {
        "transfer": run["seconds"],
        "export": time.monotonic() - start,
        "per_image": per_image,
    }
