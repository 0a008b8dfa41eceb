"""Start jobs in moments: a process that has loaded the libraries stands by, jobs are forks of it.

Loading torch takes two to five seconds of a processor, more than most jobs of a small study.
"""
