"""What the report consists of by name; light, so that rules can read it."""

from pathlib import Path

#: Names of the files under tables/, in the order of the page, and the suffixes of each.
TABLES = (
    "recommendation", "headline", "welch_selected", "welch", "equivalence", "pearson",
    "mixed_effects", "mixed_diagnostics", "granularity", "granularity_prediction", "accuracy",
    "variants", "robust_accuracy", "notes", "detection", "detection_welch",
)  # fmt: skip
#: Those that stand under the heading of detection and segmentation.
OF_DETECTION = ("detection", "detection_welch")
TABLE_FORMATS = ("csv", "tex")
#: What the page is made from besides the modules.
TEMPLATES = tuple(
    str(Path(__file__).with_name(name))
    for name in ("report.html.j2", "models.html.j2", "report.css", "report.js")
)
