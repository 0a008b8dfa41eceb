"""Check of weights: they load, are finite, and answer stored images as they did."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from robust_transfer.audit.checks import FAIL, PASS, WARN, Check
from robust_transfer.audit.evidence import Evidence, arrays
from robust_transfer.audit.plan import Job
from robust_transfer.errors import UserError

#: Largest difference of a logit, as a share of the largest logit: float32 on another processor,
#: and GPUs that multiply in TF32, add up in another order.
TOLERANCE = {"cpu": 1e-4, "gpu": 2e-2}


def weights(evidence: Evidence) -> Iterator[Check]:
    """Load every backbone and ask it again about the images stored with its logits."""
    scored = {job.wildcards.get("backbone"): job for job in evidence.plan.with_output("examples")}
    for job in evidence.plan.with_output("weights"):
        for name in ("weights", "last"):
            for path in job.outputs.get(name, []):
                if evidence.here(path):
                    by = scored.get(job.wildcards.get("backbone")) if name == "weights" else None
                    yield _judge(evidence, job, path, by)


def _judge(evidence: Evidence, job: Job, path: str, scored: Job | None) -> Check:
    """Judge one file of weights."""
    try:
        from robust_transfer.backbones.weights import load_backbone  # torch takes seconds
    except ImportError:
        return Check("weights", WARN, path, "not loaded: torch is not installed here")
    try:
        backbone, header = load_backbone(evidence.path(path))
    except (UserError, RuntimeError, ValueError, KeyError) as error:
        return Check("weights", FAIL, path, f"does not load: {error}")
    asked = job.params["settings"]["backbone"]
    wrong = [key for key in asked if header.get(key) != asked[key]]
    if wrong:
        return Check("weights", FAIL, path, f"its header is of another backbone: {wrong}")
    count = sum(value.numel() for value in backbone.network_state().values())
    said = f"{count} finite numbers, {header['classes']} classes"
    if scored is None:
        return Check("weights", PASS, path, said)
    (examples,), record = scored.outputs["examples"], evidence.record(scored)
    if not record or not evidence.here(examples) or scored.title in evidence.stale:
        return Check("weights", PASS, path, f"{said}; no stored logits to compare with")
    on_cpu = record["environment"].get("device") == "cpu"
    return _compare(backbone, arrays(evidence.path(examples)), path, said, on_cpu=on_cpu)


def _compare(
    backbone: Any, stored: dict[str, np.ndarray], path: str, said: str, *, on_cpu: bool
) -> Check:
    """Compare the logits of the stored images with those that were stored with them."""
    import torch

    images = torch.from_numpy(stored["probe_images"]).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        logits = backbone(images).numpy()
    then = stored["probe_logits"]
    if logits.shape != then.shape:
        return Check("weights", FAIL, path, f"{said}; logits {logits.shape}, then {then.shape}")
    apart = float(np.abs(logits - then).max(initial=0) / max(np.abs(then).max(initial=0), 1e-12))
    allowed = TOLERANCE["cpu" if on_cpu else "gpu"]
    said += f"; logits of {len(then)} images differ by {apart:.1e} of the largest (≤ {allowed:g})"
    return Check("weights", PASS if apart <= allowed else FAIL, path, said)
