"""The report: it answers first, tells the truth about what is missing, and needs no network."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_study as made
from draw_once import draw_once
from robust_transfer.figures.catalogue import CATALOGUE
from robust_transfer.figures.cells import summarise
from robust_transfer.figures.results import (
    ACCURACY,
    PEARSON,
    SELECTED,
    WELCH,
    plain,
    read_results,
    rows_of,
)
from robust_transfer.figures.verdicts import KINDS, with_verdicts
from robust_transfer.report.answer import answer, headline, sentence
from robust_transfer.report.columns import accuracy_columns
from robust_transfer.report.contents import OF_DETECTION, TABLE_FORMATS, TABLES, TEMPLATES
from robust_transfer.report.inline import inline_svg
from robust_transfer.report.page import write_report
from robust_transfer.report.tables import latex, spell
from robust_transfer.report.words import interval, number, p_text

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which(
    "google-chrome")  # fmt: skip
#: The made-up study has too few backbones at one epsilon to correlate, networks of one width and
#: one norm, no label budgets and no detectors (tests/test_report_detection.py has those).
ABSENT = ("pooled_against_fixed_epsilon", "width", "l2_against_linf", "label_budget",
          "precision_by_epsilon", "detected_objects")  # fmt: skip
DRAWN = [name for name in CATALOGUE if name not in ABSENT]
COMMANDS = {"report": "make the-report", "figures": "make the-figures"}
TOY = {"letters", "digits", "greek", "cyrillic", "accents"}


def empty(columns):
    return pd.DataFrame(columns=list(columns), dtype=float)


def answer_to(welch, selected):
    judged = [with_verdicts(plain(table, SELECTED), 0.05) for table in (welch, selected)]
    return answer(*judged, confidence=0.95, toy=TOY)


def build(folder, accuracy, *, welch=None, pearson=None, config=made.CONFIG, figures=None, **files):
    """Draw the figures of a study (or take those of another) and write its report."""
    tables = made.results(accuracy, welch=welch, pearson=pearson)
    if figures is None:
        figures = folder / "figures"
        draw_once(figures, tables=tables, study_config=config, **files)
    write_report(
        folder / "report.html",
        tables=tables,
        study_config=config,
        figures_folder=figures,
        tables_folder=folder / "tables",
        commands=COMMANDS,
    )
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The report of a study of the demo's shape."""
    folder = tmp_path_factory.mktemp("demo")
    histories, examples = made.write_backbone_files(folder / "pretrain")
    accuracy = made.accuracy_table()
    page = build(folder, accuracy, histories=histories, examples=examples)
    return {"folder": folder, "page": page, "accuracy": accuracy,
            "welch": made.welch_table(accuracy)}  # fmt: skip


class Outline(HTMLParser):
    """What a page holds: ids, links, what it would load, figures, and whether tags are closed."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self, page):
        super().__init__()
        self.ids, self.links, self.loaded, self.open = [], [], [], []
        self.figures, self.text, self.unclosed = {}, [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag in ("a", "use"):
            self.links.append(attributes.get("href") or "")
        elif attributes.get("href") or attributes.get("src") or attributes.get("srcset"):
            self.loaded.append(attributes.get("href") or attributes.get("src"))
        if tag == "figure":
            self.figures[attributes["id"]] = 0
        if tag in ("svg", "img") and "figure" in self.open:
            self.figures[list(self.figures)[-1]] += 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def check_page(page):
    """What holds for every report: it is whole, its links resolve, and it asks for nothing."""
    outline = Outline(page)
    assert outline.unclosed == []
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    for link in outline.links:
        assert link.startswith("data:text/csv") or link[1:] in outline.ids, link
    assert all(source.startswith("data:") for source in outline.loaded)
    assert not re.search(r"https?://|@import|url\((?!#)|src=[\"']?//", page)
    assert "nan" not in re.findall(r"[a-z]+", outline.words.lower())
    assert len(page.encode()) < 5_000_000
    return outline


# The whole page


def test_the_page_is_whole_and_asks_for_nothing(demo):
    check_page(demo["page"])


def test_every_figure_is_shown(demo):
    outline = Outline(demo["page"])
    assert outline.figures == {f"figure-{name}": 1 for name in DRAWN}


def test_every_url_inside_a_figure_points_into_that_figure(demo):
    ids = set(Outline(demo["page"]).ids)
    targets = re.findall(r"url\(#([^)]*)\)", demo["page"])
    assert targets
    assert set(targets) <= ids


def test_the_page_opens_with_the_answer(demo):
    words = Outline(demo["page"]).words
    said = answer_to(demo["welch"], made.selected_table(demo["accuracy"]))
    assert said.headline in words
    assert words.index(said.headline) < words.index("Figures", words.index("Config"))


def test_the_toy_world_is_called_a_toy_where_it_shows(demo):
    words = Outline(demo["page"]).words
    assert "This is a toy world, made on purpose." in words
    assert "letters carries a planted non-robust feature" in words
    assert "Real: uci_digits." in words
    assert not re.search(r"\b(greek|cyrillic|accents) (?!\(toy\))(native|32)", words)


def test_a_study_of_real_images_has_no_banner(tmp_path):
    config = made.CONFIG | {"data": {"datasets": [{"name": "letters", "kind": "folder"}]}}
    accuracy = made.accuracy_table({"digits": ["native"]}, [(0.0, 0), (0.25, 0)], [0, 1])
    page = build(tmp_path, accuracy, config=config)
    assert "toy" not in check_page(page).words.replace(made.CONFIG["report"]["title"], "")


def test_the_page_says_how_to_make_each_thing_again(demo):
    assert demo["page"].count(COMMANDS["figures"]) == len(DRAWN)
    absent = (
        "variants",
        "robust_accuracy",
        "notes",
        *OF_DETECTION,
    )  # the study has none: their place says so
    assert demo["page"].count(COMMANDS["report"]) == len(TABLES) - len(absent) + 1
    for name in absent:
        assert f'<li id="table-{name}">' in demo["page"]


def test_words_of_a_config_cannot_break_the_page(demo, tmp_path):
    title = "<script>alert(1)</script> & more"
    config = made.CONFIG | {"report": {"title": title}}
    page = build(tmp_path, demo["accuracy"], config=config, figures=demo["folder"] / "figures")
    assert "<script>alert" not in page
    assert title in check_page(page).words


def test_the_same_tables_write_the_same_page(demo, tmp_path):
    page = build(tmp_path, demo["accuracy"], figures=demo["folder"] / "figures")
    assert page == demo["page"]


def test_the_page_names_the_unit_and_the_protocol(demo):
    words = Outline(demo["page"]).words
    assert "clean: inputs normalised with the source's statistics" in words
    assert "comparisons count transfer seeds: what they find is conditional" in words
    assert "Holm adjusts within a family (at the chosen epsilon: all 14 tests" in words


def test_the_page_says_what_to_take_before_anything_else(demo):
    words = Outline(demo["page"]).words
    assert "For digits (toy) use resnet_small, " in words
    assert "the best of all with probability 0.80" in words
    assert words.index("the best of all") < words.index("By dataset Robust minus standard")


def test_a_sentence_with_a_number_leads_to_its_row(demo):
    said = answer_to(demo["welch"], made.selected_table(demo["accuracy"]))
    assert said.links
    for text, row in said.links.items():
        assert text in said.details
        assert f'href="#{row}"' in demo["page"]
        assert f'id="{row}"' in demo["page"]


def test_a_long_table_is_cut_but_for_the_rows_that_the_page_leads_to(demo, tmp_path, monkeypatch):
    monkeypatch.setattr("robust_transfer.report.page.MOST_ROWS", 2)
    page = build(tmp_path, demo["accuracy"], figures=demo["folder"] / "figures")
    outline = check_page(page)
    assert "The first 2 are here, all are in the CSV." in outline.words
    assert "accuracy-3" not in outline.ids


# Its tables


def test_each_table_is_written_as_csv_and_latex(demo):
    assert {path.name for path in (demo["folder"] / "tables").iterdir()} == {
        f"{name}.{suffix}" for name in TABLES for suffix in TABLE_FORMATS
    }


def test_the_csv_of_comparisons_holds_every_digit(demo):
    table = read_results(demo["folder"] / "tables/welch.csv", WELCH)
    for name in demo["welch"]:
        assert list(table[name]) == list(demo["welch"][name])


def test_each_row_of_the_page_is_the_row_of_its_csv(demo):
    welch = with_verdicts(demo["welch"], 0.05)
    for k in (1, 17, len(welch)):
        row = re.search(rf'<tr id="welch-{k}">.*?</tr>', demo["page"], flags=re.S).group(0)
        assert number(100 * welch["difference"].iloc[k - 1], sign=True) in row
        assert KINDS[welch["verdict"].iloc[k - 1]] in row


def test_every_accuracy_stands_beside_its_interval_and_n(demo):
    cells = summarise(demo["accuracy"], 0.95, also=["selected_on"])
    table = spell(("accuracy", "", "", ""), cells, accuracy_columns(set(), "95%"))
    headers = [header for header, _ in table.headers]
    assert {"Accuracy, %", "95% interval", "n", "n counts"} <= set(headers)
    assert all(row[headers.index("95% interval")].text != "none" for row in table.rows)


def test_latex_is_escaped_and_rectangular(demo):
    text = (demo["folder"] / "tables/welch.tex").read_text(encoding="utf-8")
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.count(" & ") for line in body}) == 1
    assert r"uci\_digits" in text
    assert not re.search(r"(?<!\\)_", text.split(r"\toprule")[1])


def test_an_empty_table_in_latex_says_so():
    cells = summarise(empty(ACCURACY), 0.95)
    table = spell(("accuracy", "t", "c", "Nothing here."), cells, accuracy_columns(set(), "95%"))
    assert "Nothing here." in latex(table)


# The answer in words


def counts(robust=0, standard=0, unclear=0, untested=0):
    return dict(zip(KINDS, (robust, standard, unclear, untested), strict=True))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (counts(), "No comparison can be made"),
        (counts(untested=3), "None of 3 comparisons could be tested"),
        (counts(unclear=1), "No difference can be told from chance in 1 comparison."),
        (counts(robust=2, unclear=3), "better in 2 of 5 comparisons, standard ones in none; 3"),
        (counts(1, 2, 0, 4), "Standard backbones transfer better in 2 of 3 comparisons"),
    ],
)
def test_the_headline_counts_verdicts(given, said):
    assert said in headline(given)


def comparison(**changes):
    row = {"dataset": "digits", "resolution": "native", "mode": "fixed", "architecture": "a",
           "norm": "l2", "epsilon": 0.25, "n_robust": 2, "n_standard": 2, "difference": 0.011,
           "ci_low": 0.004, "ci_high": 0.018, "p_adjusted": 0.01,
           "replicate": "pretrain_seed"}  # fmt: skip
    return next(rows_of(with_verdicts(pd.DataFrame([row | changes]), 0.05)))


def test_a_sentence_says_who_wins_by_how_much_and_how_sure():
    assert sentence(comparison(), 0.95, {"digits"}) == (
        "For digits (toy) under fixed features, robust (L2 epsilon 0.25) beats standard by 1.1 "
        "points, 95% interval 0.4 to 1.8, n = 2 pretrainings each."
    )


def test_a_sentence_turns_the_interval_when_standard_wins():
    row = comparison(difference=-0.011, ci_low=-0.018, ci_high=-0.004, mode="full")
    assert sentence(row, 0.95, ()) == (
        "For digits with the full network trained, standard beats robust (L2 epsilon 0.25) by 1.1 "
        "points, 95% interval 0.4 to 1.8, n = 2 pretrainings each."
    )


def test_a_sentence_on_transfer_seeds_is_conditional():
    row = comparison(replicate="transfer_seed", n_robust=3, n_standard=6, p_adjusted=0.3)
    assert sentence(row, 0.95, ()) == (
        "For digits under fixed features, robust (L2 epsilon 0.25) and standard cannot be told "
        "apart: difference +1.1 points, 95% interval 0.4 to 1.8, n = 3 against 6 transfer seeds, "
        "conditional on these backbones."
    )


def test_a_sentence_without_a_test_claims_nothing():
    row = comparison(ci_low=np.nan, ci_high=np.nan, p_adjusted=np.nan, replicate="none",
                     n_robust=1, n_standard=1, resolution="32", norm="linf",
                     epsilon=4 / 255)  # fmt: skip
    assert sentence(row, 0.95, ()) == (
        "For digits at 32\N{MULTIPLICATION SIGN}32 under fixed features, robust (L\N{INFINITY} "
        "epsilon 4/255) against standard was not tested: +1.1 points, no interval, n = 1 replicate "
        "each."
    )


def test_the_answer_counts_the_comparisons_at_the_epsilon_that_validation_chose(demo):
    accuracy = demo["accuracy"].assign(validation_accuracy=lambda t: 1.0 * (t["epsilon"] == 1))
    said = answer_to(demo["welch"], made.selected_table(accuracy))
    assert said.table == "welch_selected"
    assert set(said.chosen["epsilon"]) == {1.0}
    assert sum(said.counts.values()) == len(said.chosen) == 14
    assert said.headline.startswith("With epsilon chosen on validation, ")
    assert any(text.startswith("At each single epsilon, of 42") for text in said.details)


def test_without_validation_the_largest_difference_is_shown_as_such(demo, tmp_path):
    accuracy = demo["accuracy"].drop(columns="validation_accuracy")
    said = answer_to(demo["welch"], made.selected_table(accuracy))
    assert said.table == "welch"
    greek = said.chosen.query("dataset == 'greek' and mode == 'fixed' and resolution == '32'")
    family = demo["welch"].query("dataset == 'greek' and mode == 'fixed' and resolution == '32'")
    assert greek["difference"].iloc[0] == family["difference"].max()
    page = build(tmp_path, accuracy, figures=demo["folder"] / "figures")
    assert "it flatters robust" in check_page(page).words


# Studies with parts missing


def test_empty_tables_give_a_page_that_says_what_is_missing(tmp_path):
    page = build(tmp_path, empty(ACCURACY), welch=empty(WELCH), pearson=empty(PEARSON))
    outline = check_page(page)
    assert "No comparison can be made" in outline.words
    assert outline.figures == {}
    for entry in CATALOGUE.values():
        assert entry.nothing in outline.words


def test_one_seed_gives_a_page_that_says_that_nothing_was_tested(tmp_path):
    accuracy = made.accuracy_table(backbones=[(0.0, 0), (0.25, 0)], seeds=[0])
    words = check_page(build(tmp_path, accuracy)).words
    assert "None of 14 comparisons could be tested" in words
    assert "The best robust backbone is ahead of the best standard one on" in words
    assert "No test of equivalence: it takes two replicates on each side." in words


def test_one_epsilon_gives_a_page_without_comparisons(tmp_path):
    accuracy = made.accuracy_table(backbones=[(0.0, 0), (0.0, 1)])
    outline = check_page(build(tmp_path, accuracy, welch=empty(WELCH)))
    assert "No comparison can be made" in outline.words
    assert "figure-accuracy_by_epsilon" in outline.figures


def test_one_dataset_gives_a_page(tmp_path):
    outline = check_page(build(tmp_path, made.accuracy_table({"greek": ["native"]})))
    assert "No dataset was measured at more than one resolution." in outline.words


def test_forty_datasets_give_a_page_under_five_megabytes(tmp_path):
    datasets = {f"dataset{i:02d}": ["native"] for i in range(40)}
    accuracy = made.accuracy_table(datasets, [(0.0, 0), (0.0, 1), (0.25, 0), (0.25, 1)], [0, 1])
    check_page(build(tmp_path, accuracy[accuracy["mode"] == "fixed"]))


def test_a_missing_cell_is_named_on_the_page(tmp_path):
    accuracy = made.accuracy_table()
    gone = (accuracy["dataset"] == "digits") & (accuracy["mode"] == "full")
    words = check_page(build(tmp_path, accuracy[~gone])).words
    assert "digits, full network" in words
    assert "no result" in words


def test_published_numbers_alone_give_a_page(tmp_path):
    unknown = dict.fromkeys(["transfer_seed", "pretrain_seed", "n_test", "seconds"], np.nan)
    accuracy = made.accuracy_table(seeds=[0]).assign(origin="Table 5 of a paper", **unknown)
    accuracy = accuracy.drop_duplicates(["epsilon", "dataset", "resolution", "mode"])
    config = {"study": "published", "analysis": {"confidence": 0.95}}
    words = check_page(build(tmp_path, accuracy, welch=empty(WELCH), config=config)).words
    assert "Table 5 of a paper" in words


# Pieces


def test_the_templates_lie_beside_the_module():
    assert all(Path(path).is_file() for path in TEMPLATES)


def test_an_inlined_figure_takes_the_colours_of_the_page():
    text = '<?xml?><svg viewBox="0 0 10 10" width="10pt"><path id="a" style="fill: #1d2430"/></svg>'
    found = inline_svg(text, "name", "label")
    assert 'id="name-a"' in found
    assert "fill: var(--ink)" in found


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.25, "1.2"), (-0.04, "0.0"), (-1.0, "\N{MINUS SIGN}1.0"), (np.nan, "\N{EN DASH}")],
)
def test_numbers_are_spelled_with_a_true_minus(value, text):
    assert number(value) == text


def test_intervals_and_p_values_are_spelled():
    assert interval(0.004, 0.018, scale=100) == "0.4 to 1.8"
    assert interval(np.nan, 1) == "none"
    assert p_text(0.0004) == "< 0.001"


# In a browser


def chromium(folder, page, *options):
    """Run a headless browser on the page; return what it printed."""
    return subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--v=0",
         *options, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True)  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_opens_the_page_without_an_error_and_scripts_work(demo, tmp_path):
    probe = """<script>
      const button = document.querySelectorAll("#table-welch th button")[1];
      button.click(); button.click();
      const filter = document.querySelector('[data-filter="welch"]');
      filter.value = "greek full"; filter.dispatchEvent(new Event("input"));
      const shown = document.querySelectorAll("#table-welch tbody tr:not([hidden])");
      console.log("PROBE rows " + shown.length);
      console.log("PROBE sorted " + button.parentElement.getAttribute("aria-sort"));
      console.log("PROBE loaded " + performance.getEntriesByType("resource")
        .filter((entry) => !entry.name.startsWith("data:")).length);
      const drawn = [...document.querySelectorAll("figure svg, figure img")]
        .filter((one) => one.getBoundingClientRect().height > 40);
      console.log("PROBE drawn " + drawn.length);
      console.log("PROBE overflow "
        + (document.documentElement.scrollWidth - document.documentElement.clientWidth));
    </script></body>"""
    page = tmp_path / "page.html"
    page.write_text(demo["page"].replace("</body>", probe), encoding="utf-8")
    said = chromium(tmp_path, page, "--dump-dom", "--window-size=500,900").stderr
    told = dict(re.findall(r"PROBE (\w+) (\w+)", said))
    assert told == {"rows": "6", "sorted": "descending", "loaded": "0",
                    "drawn": str(len(DRAWN)), "overflow": "0"}  # fmt: skip
    assert not re.search(r"CONSOLE.*(error|Uncaught|Refused|Failed)", said, flags=re.I)
