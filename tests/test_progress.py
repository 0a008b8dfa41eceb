"""Progress: a bar on a terminal, plain lines in a log, the items unchanged."""

import sys

from robust_transfer import progress as module
from robust_transfer.progress import progress


class FakeTerminal:
    def __init__(self):
        self.written = ""

    def isatty(self):
        return True

    def write(self, text):
        self.written += text

    def flush(self):
        pass


def test_a_log_gets_one_plain_line_at_the_end_of_a_short_loop(capsys):
    assert list(progress(range(5), total=5, label="letters")) == list(range(5))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("letters: 5 of 5 in ")
    assert said.err.count("\n") == 1
    assert "\r" not in said.err


def test_a_long_loop_says_how_far_it_is(capsys, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    list(progress(iter("abcd"), total=4, label="letters"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("letters: 1 of 4 (25%)")
    assert lines[-1].startswith("letters: 4 of 4 in ")


def test_a_resumed_loop_goes_on_at_the_right_number(capsys, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    list(progress(range(6, 10), total=10, label="steps"))
    assert capsys.readouterr().err.splitlines()[0].startswith("steps: 7 of 10 (70%)")


def test_an_empty_loop_ends_in_words(capsys):
    assert list(progress([], total=0, label="nothing")) == []
    assert capsys.readouterr().err.startswith("nothing: 0 of 0")


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress(range(3), total=3, label="letters")) == [0, 1, 2]
    assert "letters: 100%" in terminal.written


def test_durations_are_spelled_in_fitting_units():
    spelled = [module.spell_duration(seconds) for seconds in (8.21, 185, 7801)]
    assert spelled == ["8.2 s", "3 min 5 s", "2 h 10 min"]
