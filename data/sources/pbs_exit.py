"""What `Exit_status` of a PBS accounting record says of how the job ended.

Torque and PBS Professional give the same negative numbers different meanings, so there are two tables. A positive
status is the exit code of the job's shell; 256 + n means that signal n ended the shell itself, which is how both
servers stop a job (SIGTERM, then SIGKILL), whether a person deleted it or it was over its time.

>>> state_of(0, pro=False), state_of(-11, pro=False), state_of(-11, pro=True), state_of(-29, pro=True)
('COMPLETED', 'TIMEOUT', 'REQUEUED', 'TIMEOUT')
>>> state_of(271, pro=False), state_of(271, pro=False, over_time=True), state_of(134, pro=False)
('CANCELLED', 'TIMEOUT', 'FAILED')
"""

#: Torque 6.1.2 Administrator Guide, "Job exit status".
TORQUE: dict[int, str] = {
    -1: "BOOT_FAIL",  # JOB_EXEC_FAIL1: not started, before files
    -2: "BOOT_FAIL",  # JOB_EXEC_FAIL2: not started, after files
    -3: "REQUEUED",  # JOB_EXEC_RETRY
    -4: "NODE_FAIL",  # JOB_EXEC_INITABT: aborted as the node's daemon came up
    -5: "NODE_FAIL",  # JOB_EXEC_INITRST
    -6: "NODE_FAIL",  # JOB_EXEC_INITRMG
    -7: "BOOT_FAIL",  # JOB_EXEC_BADRESRT: restart failed
    -8: "BOOT_FAIL",  # JOB_EXEC_CMDFAIL: the user's command could not be executed
    -9: "BOOT_FAIL",  # JOB_EXEC_STDOUTFAIL
    -10: "OUT_OF_MEMORY",  # JOB_EXEC_OVERLIMIT_MEM
    -11: "TIMEOUT",  # JOB_EXEC_OVERLIMIT_WT
    -12: "TIMEOUT",  # JOB_EXEC_OVERLIMIT_CPUT
    -13: "REQUEUED",  # JOB_EXEC_RETRY_CGROUP
    -14: "REQUEUED",  # JOB_EXEC_RETRY_PROLOGUE
}

#: OpenPBS, src/include/job.h, "Special Job Exit Values".
PBS_PRO: dict[int, str] = {
    -1: "BOOT_FAIL",  # JOB_EXEC_FAIL1
    -2: "BOOT_FAIL",  # JOB_EXEC_FAIL2
    -3: "REQUEUED",  # JOB_EXEC_RETRY
    -4: "NODE_FAIL",  # JOB_EXEC_INITABT
    -5: "NODE_FAIL",  # JOB_EXEC_INITRST
    -6: "NODE_FAIL",  # JOB_EXEC_INITRMG
    -7: "BOOT_FAIL",  # JOB_EXEC_BADRESRT
    -10: "BOOT_FAIL",  # JOB_EXEC_FAILUID
    -11: "REQUEUED",  # JOB_EXEC_RERUN
    -12: "PREEMPTED",  # JOB_EXEC_CHKP: checkpointed and killed
    -13: "BOOT_FAIL",  # JOB_EXEC_FAIL_PASSWORD
    -14: "REQUEUED",  # JOB_EXEC_RERUN_SIS_FAIL
    -15: "REQUEUED",  # JOB_EXEC_QUERST
    -16: "REQUEUED",  # JOB_EXEC_FAILHOOK_RERUN
    -17: "BOOT_FAIL",  # JOB_EXEC_FAILHOOK_DELETE
    -18: "REQUEUED",  # JOB_EXEC_HOOK_RERUN
    -19: "CANCELLED",  # JOB_EXEC_HOOK_DELETE
    -20: "NODE_FAIL",  # JOB_EXEC_RERUN_MS_FAIL
    -21: "BOOT_FAIL",  # JOB_EXEC_FAIL_SECURITY
    -22: "BOOT_FAIL",  # JOB_EXEC_HOOKERROR
    -23: "BOOT_FAIL",  # JOB_EXEC_FAIL_KRB5
    -24: "CANCELLED",  # JOB_EXEC_KILL_NCPUS_BURST
    -25: "CANCELLED",  # JOB_EXEC_KILL_NCPUS_SUM
    -26: "OUT_OF_MEMORY",  # JOB_EXEC_KILL_VMEM
    -27: "OUT_OF_MEMORY",  # JOB_EXEC_KILL_MEM
    -28: "TIMEOUT",  # JOB_EXEC_KILL_CPUT
    -29: "TIMEOUT",  # JOB_EXEC_KILL_WALLTIME
    -30: "BOOT_FAIL",  # JOB_EXEC_JOINJOB
}

#: The signals with which a server stops a job.
_STOPPED = frozenset({256 + 9, 256 + 15})


def state_of(status: int, *, pro: bool, over_time: bool = False) -> str:
    """Name of a state in `states.STATES`. `over_time`: the run time had reached the limit."""
    if status == 0:
        return "COMPLETED"
    if status in _STOPPED:
        return "TIMEOUT" if over_time else "CANCELLED"
    return (PBS_PRO if pro else TORQUE).get(status, "FAILED")
