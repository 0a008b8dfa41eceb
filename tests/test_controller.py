"""A run that was killed is told from one at work."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from robust_transfer.records.controller import all_are_gone, sign_in

SIGN_IN = """
import sys, time
from pathlib import Path
from robust_transfer.records.controller import sign_in
sign_in(Path(sys.argv[1]))
print("signed", flush=True)
time.sleep(60)
"""


def test_a_killed_process_is_gone_and_one_at_work_is_not(tmp_path):
    assert not all_are_gone(tmp_path)
    scripts = Path(__file__).parents[1] / "workflow_scripts"
    with subprocess.Popen(
        [sys.executable, "-c", SIGN_IN, str(tmp_path)], stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(scripts)},
    ) as other:  # fmt: skip
        assert other.stdout.readline() == b"signed\n"
        assert not all_are_gone(tmp_path)
        other.send_signal(signal.SIGKILL)
    assert all_are_gone(tmp_path)
    sign_in(tmp_path)
    assert not all_are_gone(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_process_elsewhere_and_a_reused_number_are_told_apart(tmp_path):
    sign_in(tmp_path)
    (path,) = tmp_path.iterdir()
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"start": "1"}))
    assert all_are_gone(tmp_path)
    path.write_text(json.dumps(record | {"host": "elsewhere", "start": "1"}))
    assert not all_are_gone(tmp_path)
