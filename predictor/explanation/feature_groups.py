"""Columns of the features, grouped as people speak of them.

>>> group_of("log2_timelimit_s", "mem_mb"), group_of("request_to_anchor", "run_time_s")
('the time limit', 'the time limit')
>>> group_of("p90 (same user and name)", "mem_mb"), group_of("words_3", "mem_mb")
('ended jobs with the same user and name', 'the words of the command, name and folder')
"""

import re

from crowdrun.predictor.target import TARGETS_BY_NAME

#: Column of the features -> group.
_GROUPS = {
    "log2_req_mem_mb": "the memory asked for",
    "log2_req_cpus": "the CPUs asked for",
    "log2_req_nodes": "the nodes asked for",
    "log2_req_gpus": "the GPUs asked for",
    "log2_timelimit_s": "the time limit",
    "log2_params_m": "the parameters of the model",
    "log2_batch_size": "the batch size",
    "hour_of_day": "the hour and the day",
    "day_of_week": "the hour and the day",
    "anchor_log2": "the running mean of the past jobs",
    "anchor_relation": "the running mean of the past jobs",
}
#: Columns by pattern; what the pattern catches goes into the name of the group.
_PATTERNS = (
    (re.compile(r"queue: .+"), "what waits and runs"),
    (re.compile(r"words_\d+"), "the words of the command, name and folder"),
    (re.compile(r"number_\d+"), "the numbers in the command"),
    (re.compile(r"item_\w+"), "the earlier steps of the same item"),
    (re.compile(r"\w+ \(all jobs\)"), "all ended jobs"),
    (re.compile(r"\w+ \((.+)\)"), "ended jobs with the {}"),
)
_REQUEST_TO_ANCHOR = "request_to_anchor"
_REQUEST_COLUMNS = {"req_mem_mb": "log2_req_mem_mb", "timelimit_s": "log2_timelimit_s", "req_gpus": "log2_req_gpus"}


def group_of(column: str, target: str) -> str:
    """The group of a column for a target; a column that is in none stands for itself."""
    request_column = TARGETS_BY_NAME[target].request_column
    if column == _REQUEST_TO_ANCHOR and request_column:
        column = _REQUEST_COLUMNS[request_column]
    if column in _GROUPS:
        return _GROUPS[column]
    for pattern, group in _PATTERNS:
        if found := pattern.fullmatch(column):
            return group.format(*found.groups())
    return column
