"""Attacks: perturbations of images that raise a model's loss, for training and for evaluation."""

from robust_transfer.attacks.apgd import Robustness, apgd, evaluate_ensemble
from robust_transfer.attacks.evaluate import accuracy_under_attack
from robust_transfer.attacks.folded import FoldedAttackModel, fold_batch_norm
from robust_transfer.attacks.pgd import pgd
from robust_transfer.attacks.single_step import fgsm_rs, n_fgsm
from robust_transfer.attacks.threat import THREAT_MODELS, threat_model
from robust_transfer.attacks.trades import trades_inner

__all__ = [
    "THREAT_MODELS",
    "FoldedAttackModel",
    "Robustness",
    "accuracy_under_attack",
    "apgd",
    "evaluate_ensemble",
    "fgsm_rs",
    "fold_batch_norm",
    "n_fgsm",
    "pgd",
    "threat_model",
    "trades_inner",
]
