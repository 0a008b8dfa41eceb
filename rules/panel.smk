# What runs, how far each job is, and when all is done: one line at the foot of a terminal.
#
# Jobs write their progress to their logs; in a log or a pipe there is no panel.
import atexit
import shutil
import threading
import time

from snakemake_interface_logger_plugins.common import LogEvent

from robust_transfer.panel import Panel
from robust_transfer.progress import PANEL
from robust_transfer.records.why import read_record

CLEAR = "\r\x1b[2K"
SECONDS_BETWEEN_LINES = 0.5
TIMED_JOBS = 20  # of a rule, whose earlier times are looked up: enough for a mean


def seconds_before():
    """Rule -> mean seconds of its jobs in earlier runs, of those that are to run again."""
    found = {}
    for job in workflow.dag.needrun_jobs():
        times = found.setdefault(job.rule.name, [])
        record = read_record(map(str, job.output)) if len(times) < TIMED_JOBS else None
        if record:
            times.append(record["seconds"])
    return {rule: sum(times) / len(times) for rule, times in found.items() if times}


class PanelHandler(logging.Handler):
    """Follows the run by what is logged about it, and keeps the last line of the terminal."""

    def __init__(self):
        super().__init__()
        self.panel = Panel()
        self.quiet_until = 0.0
        self.drawing = None

    def emit(self, record):
        """Note an event; leave the terminal to the text that it comes with."""
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO and not workflow.dryrun:
            counts = dict(record.stats)
            counts.pop("total")
            self.panel.plan(counts, seconds_before())
            self.draw_from_now_on()
        elif event == LogEvent.JOB_INFO:
            title = "/".join(map(str, record.wildcards.values()))
            self.panel.begin(
                record.jobid, record.rule_name, title, next(iter(record.log), None)
            )
        elif event == LogEvent.JOB_FINISHED:
            self.panel.end(record.job_id)
        elif event == LogEvent.JOB_ERROR:
            self.panel.end(record.jobid, done=False)
        if self.drawing:
            self.quiet_until = time.monotonic() + SECONDS_BETWEEN_LINES / 2
            print(CLEAR, end="", file=sys.stderr, flush=True)

    def draw_from_now_on(self):
        """Draw the line twice a second, until the end."""
        if self.drawing is None:
            self.drawing = threading.Thread(target=self.draw, daemon=True)
            self.drawing.start()
            atexit.register(print, CLEAR, end="", file=sys.stderr, flush=True)

    def draw(self):
        while True:
            time.sleep(SECONDS_BETWEEN_LINES)
            if time.monotonic() > self.quiet_until:
                line = self.panel.line(shutil.get_terminal_size().columns - 1)
                print(f"{CLEAR}{line}\r", end="", file=sys.stderr, flush=True)


if sys.stderr.isatty() and workflow.is_main_process:
    os.environ[PANEL] = "1"
    logging.getLogger("snakemake.logging").addHandler(PanelHandler())
