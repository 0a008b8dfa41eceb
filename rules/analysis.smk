# Predictions -> accuracy, and every statistic that is made of it. No GPU, seconds to minutes.


rule tabulate_accuracy:
    """Score every prediction file, and set published accuracies beside ours."""
    input:
        predictions=of_cells(rules.transfer_backbone.output.predictions),
        records=of_cells(rules.transfer_backbone.output.records),
        backbones=records_of_backbones(),
        external=study.settings["analysis"]["external_accuracy"],
    output:
        accuracy=report(
            f"{RESULTS}/analysis/accuracy.csv",
            caption="captions/accuracy.rst",
            category="Tables",
            labels={"table": "accuracy"},
        ),
        robustness=f"{RESULTS}/analysis/robust_accuracy.csv",
        right=f"{RESULTS}/analysis/right_images.npz",
    log:
        f"{RESULTS}/analysis/tabulate_accuracy.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("analysis/tabulate_accuracy.py"),
    script:
        "../workflow_scripts/analysis/tabulate_accuracy.py"


rule tabulate_detection:
    """Collect the average precision of every detector."""
    input:
        scores=of_detectors(rules.score_detections.output.scores),
        backbones=records_of_backbones() if study.detectors else [],
    output:
        detection=report(
            f"{RESULTS}/analysis/detection.csv",
            caption="captions/detection.rst",
            category="Tables",
            labels={"table": "detection"},
        ),
    log:
        f"{RESULTS}/analysis/tabulate_detection.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("analysis/tabulate_detection.py"),
    script:
        "../workflow_scripts/analysis/tabulate_detection.py"


rule correlate:
    """Correlate source accuracy with transfer accuracy, at fixed epsilon and pooled."""
    input:
        accuracy=rules.tabulate_accuracy.output.accuracy,
    output:
        pearson=report(
            f"{RESULTS}/analysis/pearson.csv",
            caption="captions/pearson.rst",
            category="Tables",
            labels={"table": "pearson"},
        ),
    log:
        f"{RESULTS}/analysis/correlate.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        settings=analysis_settings,
        code=code_digest("analysis/correlate.py"),
    script:
        "../workflow_scripts/analysis/correlate.py"


rule test_robust_against_standard:
    """Welch tests of robust against standard, over the replicates that the study has."""
    input:
        accuracy=rules.tabulate_accuracy.output.accuracy,
        detection=rules.tabulate_detection.output.detection,
    output:
        welch=report(
            f"{RESULTS}/analysis/welch.csv",
            caption="captions/welch.rst",
            category="Tables",
            labels={"table": "welch"},
        ),
        selected=report(
            f"{RESULTS}/analysis/welch_selected.csv",
            caption="captions/welch_selected.rst",
            category="Tables",
            labels={"table": "welch selected"},
        ),
    log:
        f"{RESULTS}/analysis/test_robust_against_standard.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        settings=analysis_settings,
        code=code_digest("analysis/test_robust_against_standard.py"),
    script:
        "../workflow_scripts/analysis/test_robust_against_standard.py"


rule compare_best:
    """The best robust backbone of each place beside the best standard one."""
    input:
        accuracy=rules.tabulate_accuracy.output.accuracy,
    output:
        headline=report(
            f"{RESULTS}/analysis/headline.csv",
            caption="captions/headline.rst",
            category="Tables",
            labels={"table": "headline"},
        ),
    log:
        f"{RESULTS}/analysis/compare_best.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("analysis/compare_best.py"),
    script:
        "../workflow_scripts/analysis/compare_best.py"


rule test_equivalence:
    """Equivalence tests against a bound, and the placebo contrasts."""
    input:
        accuracy=rules.tabulate_accuracy.output.accuracy,
    output:
        equivalence=report(
            f"{RESULTS}/analysis/equivalence.csv",
            caption="captions/equivalence.rst",
            category="Tables",
            labels={"table": "equivalence"},
        ),
    log:
        f"{RESULTS}/analysis/test_equivalence.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        settings=equivalence_settings,
        code=code_digest("analysis/test_equivalence.py"),
    script:
        "../workflow_scripts/analysis/test_equivalence.py"


rule recommend_backbone:
    """Which backbone for each dataset, how likely it is the best, and the regret."""
    input:
        accuracy=rules.tabulate_accuracy.output.accuracy,
        right=rules.tabulate_accuracy.output.right,
    output:
        recommendation=report(
            f"{RESULTS}/analysis/recommendation.csv",
            caption="captions/recommendation.rst",
            category="Tables",
            labels={"table": "recommendation"},
        ),
    log:
        f"{RESULTS}/analysis/recommend_backbone.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        settings=confidence_settings,
        code=code_digest("analysis/recommend_backbone.py"),
    script:
        "../workflow_scripts/analysis/recommend_backbone.py"


rule measure_granularity:
    """Measure how fine the classes of each dataset are, before any transfer."""
    input:
        features=of_measured_datasets(rules.extract_features.output.about),
        cache=measured_caches,
    output:
        granularity=report(
            f"{RESULTS}/analysis/granularity.csv",
            caption="captions/granularity.rst",
            category="Tables",
            labels={"table": "granularity"},
        ),
    log:
        f"{RESULTS}/analysis/measure_granularity.log",
    conda:
        "../envs/analysis.yaml"
    params:
        caches=measured_cache_folders,
        code=code_digest("analysis/measure_granularity.py"),
    script:
        "../workflow_scripts/analysis/measure_granularity.py"


rule predict_best_epsilon:
    """Ask which measure of granularity predicts the best epsilon of a dataset."""
    input:
        accuracy=rules.tabulate_accuracy.output.accuracy,
        granularity=rules.measure_granularity.output.granularity,
    output:
        points=f"{RESULTS}/analysis/granularity_points.csv",
        predictions=report(
            f"{RESULTS}/analysis/granularity_prediction.csv",
            caption="captions/granularity_prediction.rst",
            category="Tables",
            labels={"table": "granularity prediction"},
        ),
    log:
        f"{RESULTS}/analysis/predict_best_epsilon.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        settings=confidence_settings,
        code=code_digest("analysis/predict_best_epsilon.py"),
    script:
        "../workflow_scripts/analysis/predict_best_epsilon.py"


rule fit_mixed_model:
    """One linear mixed model over all cells, with its diagnostics and residuals."""
    input:
        accuracy=rules.tabulate_accuracy.output.accuracy,
        granularity=rules.measure_granularity.output.granularity,
    output:
        effects=report(
            f"{RESULTS}/analysis/mixed_effects.csv",
            caption="captions/mixed_effects.rst",
            category="Tables",
            labels={"table": "mixed effects"},
        ),
        diagnostics=report(
            f"{RESULTS}/analysis/mixed_diagnostics.csv",
            caption="captions/mixed_diagnostics.rst",
            category="Tables",
            labels={"table": "mixed diagnostics"},
        ),
        residuals=f"{RESULTS}/analysis/mixed_residuals.csv",
    log:
        f"{RESULTS}/analysis/fit_mixed_model.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        settings=confidence_settings,
        code=code_digest("analysis/fit_mixed_model.py"),
    script:
        "../workflow_scripts/analysis/fit_mixed_model.py"
