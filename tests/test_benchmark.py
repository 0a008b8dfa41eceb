"""The benchmark measures what it says, leaves nothing out in silence, and writes whole tables."""

import contextlib
import csv
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from robust_transfer.benchmark import timed
from robust_transfer.benchmark import training as benchmark_of_training
from robust_transfer.benchmark.__main__ import main
from robust_transfer.benchmark.arithmetic import forward_flop
from robust_transfer.benchmark.cases import Case, all_cases
from robust_transfer.benchmark.clock import SAMPLE_SECONDS, alternate, spread
from robust_transfer.benchmark.table import write_results
from robust_transfer.benchmark.timed import TimedSteps
from robust_transfer.benchmark.training import Results
from robust_transfer.benchmark.variants import (
    MEANING,
    Kept,
    _keeping_the_best,
    _of_torchattacks,
    _with_weight_gradients,
    make_step,
    reason_against,
)

CPU = torch.device("cpu")
SMALL = Case("resnet_small", 32, "pgd-3")


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_network_meets_every_method_once():
    cases = all_cases()
    assert len(set(cases)) == len(cases) == 5 * 4
    assert {case.image_size for case in cases} == {32, 224}


@pytest.mark.parametrize(
    ("method", "passes"), [("standard", 3), ("n-fgsm", 5), ("pgd-3", 9), ("pgd-7", 17)]
)
def test_a_method_needs_two_passes_a_gradient_step_and_three_for_the_descent(method, passes):
    assert Case("resnet18", 32, method).forward_passes == passes


def test_operations_of_resnet50_are_those_that_its_paper_counts():
    """He et al. 2016, table 1: 3.8e9 multiply-adds (4.1e9 with the stride in the 3x3 layer)."""
    assert forward_flop("resnet50", 224, 1000) == pytest.approx(2 * 4.09e9, rel=0.01)


def test_the_spread_is_median_and_quartiles():
    samples = [5.0, 1.0, 2.0, 4.0, 3.0]
    found = spread(samples)
    assert found.median == statistics.median(samples)
    assert (found.low, found.high) == (2.0, 4.0)
    assert (spread([2.0, 1.0]).low, spread([2.0, 1.0]).high) == (1.0, 2.0)


def test_alternatives_take_turns():
    order = []

    def timer(name):
        return lambda repeats: order.append(name * repeats)

    timers, warm = {name: timer(name) for name in "abc"}, dict.fromkeys("abc", SAMPLE_SECONDS)
    samples = alternate(timers, warm=warm, seconds=0, fewest_rounds=3, most_rounds=9)
    assert "".join(order) == "abcbcacab"
    assert {name: len(taken) for name, taken in samples.items()} == dict.fromkeys("abc", 3)


@pytest.mark.parametrize("variant", MEANING)
def test_every_variant_trains_the_network(variant):
    steps = make_step(variant, SMALL, 2, CPU)
    steps()
    steps()


def test_the_attacks_that_are_compared_are_one_attack():
    """On a batch where the last iterate is the worst, all rivals must agree."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 10)).eval()
    images, labels = torch.rand(5, 3, 8, 8) * 0.5 + 0.25, torch.arange(5)
    case = Case("resnet_small", 32, "pgd-7")
    attacks = (_keeping_the_best, _with_weight_gradients, _of_torchattacks)
    outcomes = [attack(model, images, labels, case) for attack in attacks]
    assert not torch.equal(outcomes[0], images)
    for outcome in outcomes[1:]:
        torch.testing.assert_close(outcome, outcomes[0], rtol=0, atol=2e-4)


def test_what_a_rival_cannot_do_is_said(monkeypatch):
    assert "N-FGSM" in reason_against("torchattacks", Case("resnet18", 32, "n-fgsm"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "not installed" in reason_against("torchattacks", SMALL)
    assert reason_against("ours", SMALL) is None


@pytest.fixture
def in_this_process(monkeypatch):
    """Do not start a process for each variant, which takes seconds."""
    steps = TimedSteps(CPU)
    places = dict.fromkeys(MEANING, lambda method, *given: getattr(steps, method)(*given))
    monkeypatch.setattr(
        benchmark_of_training, "_places", lambda *given: contextlib.nullcontext(places)
    )
    return places


def test_a_case_without_time_is_left_out_and_named(monkeypatch, in_this_process):
    monkeypatch.setattr(benchmark_of_training, "matrix_rate", lambda device, dtype: 1e9)
    results = benchmark_of_training.measure_training(CPU, seconds=0.01, cases=[SMALL])
    assert results.rows == []
    (left_out,) = results.left_out
    assert (left_out["network"], left_out["variant"]) == ("resnet_small", "all")


def test_a_batch_that_no_memory_holds_is_halved_for_all(monkeypatch, in_this_process):
    built = []

    def make(variant, case, batch_size, device, kept):
        built.append((variant, batch_size))
        if variant == "backward" and batch_size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return lambda: None

    monkeypatch.setattr(timed, "make_step", make)
    monkeypatch.setattr(benchmark_of_training, "BATCHES", {"cpu": (4, 2)})
    bench = benchmark_of_training._Bench(CPU, 1e15, float("inf"), Results({}), in_this_process)
    size, warm = bench._warmed_up(SMALL, 1e6, float("inf"))
    assert (size, list(warm)) == (2, list(MEANING))
    assert ("ours", 4) not in built


def test_a_batch_that_takes_too_long_is_halved(monkeypatch, in_this_process):
    """The clock stands still, but for the first step, which says that a batch of 4 takes long."""
    said = iter([0.0, 60.0, *[0.0, 1.0] * len(MEANING)])
    monkeypatch.setattr(timed, "make_step", lambda *given: lambda: None)
    monkeypatch.setattr(timed, "seconds_of", lambda step, device: next(said))
    monkeypatch.setattr(benchmark_of_training, "BATCHES", {"cpu": (4, 2)})
    bench = benchmark_of_training._Bench(CPU, 1e15, float("inf"), Results({}), in_this_process)
    size, warm = bench._warmed_up(SMALL, 1e6, time.monotonic() + 100)
    assert (size, len(warm)) == (2, len(MEANING))


def test_methods_of_one_network_share_what_is_compiled():
    kept, shared = Kept(), set()
    for method in ("pgd-3", "standard", "n-fgsm"):
        make_step("ours", Case("resnet_small", 32, method), 2, CPU, kept)()
        (step,) = kept.values()
        shared.add((step.recipe.attack.fast, step.model, step.forward))
    assert len(shared) == 1


def test_the_command_writes_a_row_a_variant_and_a_page(
    tmp_path, monkeypatch, capsys, in_this_process
):
    monkeypatch.setattr(benchmark_of_training, "matrix_rate", lambda device, dtype: 1e11)
    monkeypatch.setattr(benchmark_of_training, "BATCHES", {"cpu": (2,)})
    monkeypatch.setattr(benchmark_of_training, "MOST_ROUNDS", 3)
    monkeypatch.setattr("robust_transfer.benchmark.clock.SAMPLE_SECONDS", 0)
    words = ["--out", str(tmp_path), "--seconds", "10000"]
    main([*words, "--network", "resnet_small", "--method", "pgd-3", "standard"])
    rows = rows_of(tmp_path / "training.csv")
    assert [(row["method"], row["variant"]) for row in rows] == [
        *(("pgd-3", variant) for variant in MEANING),
        ("standard", "ours"),
        ("standard", "robustness"),
    ]
    for row in rows:
        assert 0 < float(row["images_per_second_low"]) <= float(row["images_per_second_high"])
        assert int(row["rounds"]) == 3
    assert float(rows[0]["ours_is_faster_by"]) == 1
    assert {row["variant"] for row in rows_of(tmp_path / "left_out.csv")} == {
        "backward",
        "torchattacks",
    }
    page = capsys.readouterr().out
    assert page.strip() == (tmp_path / "training.md").read_text().strip()
    assert page.count("| resnet_small | 32 |") == len(rows)
    assert {row["others_started_as"] for row in rows} == {"scripts"}
    assert "the others with nothing, as a script is" in page


def test_nothing_to_measure_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="resnet50"):
        main(["--out", str(tmp_path), "--network", "resnet1000"])


def test_an_empty_result_is_still_three_whole_files(tmp_path):
    machine = {"device": "CPU", "threads": 1, "torch": "2", "dtype_of_ours": "float32",
               "matrix_teraflop_per_second": 0.1}  # fmt: skip
    paths = {name: tmp_path / name for name in ("training", "left_out", "table")}
    write_results(Results(machine), **paths)
    assert all(path.stat().st_size for path in paths.values())


BARE = """
import sys
sys.path.insert(0, sys.argv[1])
for absent in ("safetensors", "pydantic", "pandas", "PIL", "tqdm", "yaml", "scipy", "sklearn",
               "matplotlib", "torchattacks", "foolbox", "snakemake"):
    sys.modules[absent] = None
import robust_transfer.benchmark.__main__
from robust_transfer.benchmark.cases import Case
from robust_transfer.benchmark.variants import make_step
import torch
make_step("ours", Case("resnet_small", 32, "pgd-3"), 2, torch.device("cpu"))()
"""


def test_the_benchmark_runs_where_there_is_little_more_than_torch():
    library = Path(benchmark_of_training.__file__).parents[2]
    words = [sys.executable, "-c", BARE, str(library)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
