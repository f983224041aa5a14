"""The files by which the runner and the ranks of a task talk, in the folder of the attempt."""

#: What is to be trained; written before the ranks start.
SPEC_FILE = "task.json"
#: A line of JSON an epoch, from rank 0.
PROGRESS_FILE = "progress.jsonl"
#: A line of JSON an epoch and rank, from each: its own samples, loss, memory and bytes sent; a line when it begins and
#: one when it ends.
RANK_LOG = "rank-{rank}.jsonl"
#: A sentence: where the samples come from, from rank 0, where the data set has a `source`.
DATA_FILE = "data.txt"
#: Losses, scores, parameters and the memory of each rank, from rank 0, written last and whole.
RESULT_FILE = "result.json"
#: Made by the job's script when its time is nearly over: the ranks save and leave.
STOP_FILE = "stop"
#: Why and at which step the ranks left with all saved, from rank 0, written last.
STOPPED_FILE = "stopped.json"
