# Plans in less time: what Snakemake asks once a job, where one answer holds for all jobs of a rule.
#
# Each shortcut takes the place of one function of Snakemake and gives the same answer; where a later
# Snakemake lacks the function, plans are only slower. tests/test_planning.py holds both.
import functools
import gc
import os
from collections import defaultdict

import snakemake.common
import snakemake.dag
import snakemake.io
import snakemake.output_index
import snakemake.rules
import snakemake.sourcecache


def shorten(owner, name, shortcut):
    """Put a shortcut in the place of a function, where Snakemake has it."""
    if hasattr(owner, name):
        setattr(owner, name, shortcut(getattr(owner, name)))


class SeenRules:
    """Stands for a set of jobs, and holds their rules: no script has a wildcard in its name."""

    def __init__(self):
        self.rules = set()

    def __contains__(self, job):
        return job.rule in self.rules

    def add(self, job):
        self.rules.add(job.rule)


def once_a_rule(begin):
    """Have a processor, which looks whether scripts are there, take one job of each rule."""

    def begin_with_rules(processor, dag):
        begin(processor, dag)
        processor.processed_jobs = SeenRules()

    return begin_with_rules


def by_its_flags(_):
    """Look a flag up in a path, without asking first whether it is a path that has flags."""
    return property(lambda path: bool(path.flags.get("storage_object")))


def if_any_contains_another(complain):
    """Compare outputs with all folders above outputs; only if one is such a folder, complain."""

    def check(dag):
        outputs = {os.path.abspath(path) for job in dag.jobs for path in job.output}
        above = set()
        for folder in set(map(os.path.dirname, outputs)):
            while folder not in above:
                above.add(folder)
                folder = os.path.dirname(folder)
        if above & outputs:
            complain(dag)

    return check


def by_file_name(begin):
    """Sort rules by the file name that their outputs end with, as most do: `/transfer.json`."""

    def begin_with_names(index, rules):
        begin(index, rules)
        index.named, index.unnamed = defaultdict(list), []
        for producer in rules:
            for product in producer.products():
                suffix = str(product.constant_suffix())
                _, slash, name = suffix.rpartition("/")
                which = index.named[name] if slash else index.unnamed
                which.append((str(product.constant_prefix()), suffix, producer))

    return begin_with_names


def of_that_name(_):
    """Look for the rules of a file among those whose outputs have its name, or any name."""

    def match(index, path):
        name = path.rpartition("/")[2]
        return {
            producer
            for prefix, suffix, producer in index.named.get(name, []) + index.unnamed
            if path.startswith(prefix) and path.endswith(suffix)
        }

    return match


# A plan makes millions of small objects and keeps most of them: looking for cycles among them every
# few hundred took a tenth of the time of the paper's plan.
gc.set_threshold(1_000_000, 50, 100)

# Parts of the address of a script, taken apart three times a job: the same few dozen addresses.
shorten(snakemake.sourcecache, "parse_uri", functools.cache)
# Arguments of the functions that name inputs and parameters: a few dozen functions.
for module in (snakemake.common, snakemake.rules):
    shorten(module, "get_function_params", functools.cache)
# Whether a path lies in remote storage, asked a hundred and fifty times a job: by the shortest way.
shorten(snakemake.io._IOFile, "is_storage", by_its_flags)
# Whether a wildcard repeats itself without end, asked of each input: a few dozen values.
shorten(snakemake.io.PeriodicityDetector, "is_periodic", functools.cache)
shorten(snakemake.dag.ScriptProcessor, "__init__", once_a_rule)
shorten(snakemake.dag.DAG, "check_directory_outputs", if_any_contains_another)
for name, shortcut in {"__init__": by_file_name, "match": of_that_name}.items():
    shorten(snakemake.output_index.OutputIndex, name, shortcut)
