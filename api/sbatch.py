#!/bin/sh
# fmt: off
""":"
for python in /usr/bin/python3 /usr/libexec/platform-python python3; do
    command -v "$python" >/dev/null && exec "$python" -ISc '
import sys, _frozen_importlib_external as loaders
sys.argv.pop(0)
names = {"__name__": "csbatch", "__file__": sys.argv[0]}
exec(loaders.SourceFileLoader("csbatch", sys.argv[0]).get_code("csbatch"), names)
names["main"]()' "$0" "$@"
done
echo "crowdrun: there is no python3; submitted as written" >&2
for argument do
    shift
    case $argument in --crowd=* | --crowd-retry=*) ;; *) set -- "$@" "$argument" ;; esac
done
IFS=:
for folder in $PATH; do
    [ -x "$folder/sbatch" ] && ! [ "$folder/sbatch" -ef "$0" ] && exec "$folder/sbatch" "$@"
done
exit 127
"""
# fmt: on
# ruff: noqa: PTH109, PTH111, PTH113, PTH118, PTH119, PTH123, S606, SIM905

__doc__ = """`csbatch`: sbatch with the crowd's advice. It is used exactly as sbatch, and never stands in its way.

    csbatch --mem=64G -t 2:00:00 train.sh
    csbatch --crowd=apply --crowd-retry=2 --mem=64G train.sh

asks the crowdrun service what such jobs needed, says so in one line on standard error, and becomes the real sbatch with
every argument, the environment and standard input as they were; standard output and exit status are sbatch's own.

    --crowd=advise   say it, change nothing (the default)      --crowd=fill    set what was left out
    --crowd=apply    set memory, time limit and GPUs           --crowd=off     do nothing at all
    --crowd-retry=N  after an out-of-memory end, up to N more attempts with more memory, as jobs that depend on it

Whatever goes wrong, the job is submitted as it was written, after 300 ms at most, with one line that says why.
Settings, limits of the site, and what it does not do: docs/csbatch.md.

This file needs the standard library alone, from Python 3.6 on: copy it to a login node as it is. Its first lines are
shell: they let Python keep the compiled form beside the file, which a plain script never has, and save 10 ms a call.
"""

import _thread
import os
import stat
import sys
import time

#: The module typing would take 5 ms to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SITE_CONFIG = "/etc/crowdrun/csbatch.conf"
DEFAULT_URL = "http://127.0.0.1:8642"
#: sbatch starts after this long, answered or not.
LIMIT_S = 0.3
MODES = ("advise", "fill", "apply", "off")
#: Retries are jobs in the queue, two for each.
MOST_RETRIES = 5
#: Bytes of the script that are looked at: sbatch reads #SBATCH lines before the first command only.
SCRIPT_BYTES = 65536
#: Characters of a text that the service takes.
TEXT_CHARACTERS = 65536
#: Bytes of an answer that are read, and characters of its line that are shown.
ANSWER_BYTES, LINE_CHARACTERS = 65536, 300
#: A start that is slow for once costs seconds: no time limit is set below this, unless the site says so.
LEAST_MINUTES = 5.0
#: Beyond these no answer is believed: a petabyte, ten years, ten thousand GPUs.
MOST_MB, MOST_S, MOST_GPUS = 2.0**30, 3.2e8, 10_000

#: Long options of sbatch (22.05 to 25.05; `man sbatch` and getopt's own list of it) that need a value.
WITH_VALUE = frozenset(
    "account acctg-freq array batch bb bbf begin chdir cluster cluster-constraint clusters comment constraint"
    " container container-id context core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline"
    " delay-boot dependency distribution error exclude export export-file extra extra-node-info gid gpu-bind gpu-freq"
    " gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint input job-name kill-on-invalid-dep"
    " licenses mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nodefile nodelist"
    " nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket ntasks-per-tres open-mode output"
    " partition power prefer priority profile qos reservation segment signal sockets-per-node switches"
    " tasks-per-node thread-spec threads-per-core time time-min tmp tres-bind tres-per-task uid wait-all-nodes wckey"
    " wrap".split()
)
#: Those that take a value only when it is glued on, as in --exclusive=user.
WITH_OPTIONAL_VALUE = frozenset("exclusive get-user-env nice no-kill oom-kill-step propagate resv-ports".split())
#: Those that take none.
FLAGS = frozenset(
    "contiguous help hold ignore-pbs no-requeue overcommit oversubscribe parsable quiet reboot requeue spread-job"
    " stepmgr test-only usage use-min-nodes verbose version wait".split()
)
LONG = WITH_VALUE | WITH_OPTIONAL_VALUE | FLAGS
#: Our own, and the settings that they are; they are taken out before sbatch sees them.
OWN = {"crowd": "mode", "crowd-retry": "retry"}
#: Letter -> long option.
SHORT = {
    "a": "array", "A": "account", "b": "begin", "B": "extra-node-info", "c": "cpus-per-task", "C": "constraint",
    "d": "dependency", "D": "chdir", "e": "error", "F": "nodefile", "G": "gpus", "h": "help", "H": "hold",
    "i": "input", "J": "job-name", "k": "no-kill", "L": "licenses", "m": "distribution", "M": "clusters",
    "n": "ntasks", "N": "nodes", "o": "output", "O": "overcommit", "p": "partition", "q": "qos", "Q": "quiet",
    "s": "oversubscribe", "S": "core-spec", "t": "time", "v": "verbose", "V": "version", "w": "nodelist",
    "W": "wait", "x": "exclude",
}  # fmt: skip
#: Other names of the same option.
SYNONYMS = {"tasks-per-node": "ntasks-per-node", "cluster": "clusters"}
#: Variable -> option, for those that say what a job needs (`man sbatch`, INPUT ENVIRONMENT VARIABLES).
VARIABLES = {
    "SBATCH_ACCOUNT": "account",
    "SBATCH_ARRAY_INX": "array",
    "SBATCH_CLUSTERS": "clusters",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_CPUS_PER_GPU": "cpus-per-gpu",
    "SBATCH_EXCLUSIVE": "exclusive",
    "SBATCH_GPUS": "gpus",
    "SBATCH_GPUS_PER_NODE": "gpus-per-node",
    "SBATCH_GPUS_PER_TASK": "gpus-per-task",
    "SBATCH_GRES": "gres",
    "SBATCH_JOB_NAME": "job-name",
    "SBATCH_MEM_PER_CPU": "mem-per-cpu",
    "SBATCH_MEM_PER_GPU": "mem-per-gpu",
    "SBATCH_MEM_PER_NODE": "mem",
    "SBATCH_OPEN_MODE": "open-mode",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_SIGNAL": "signal",
    "SBATCH_TIMELIMIT": "time",
    "SBATCH_WAIT": "wait",
    "SBATCH_WCKEY": "wckey",
}
#: Only one of these holds: one that is given later replaces the others that were given before.
MEMORY = ("mem", "mem-per-cpu", "mem-per-gpu")
HETEROGENEOUS = frozenset({"hetjob", "packjob"})
#: Time limits that mean something else than the longest run: a signal before the end, a range, a date.
KEEPS_TIME = frozenset({"signal", "time-min", "deadline"})
GPU_OPTIONS = ("gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task", "gres", "tres-per-task")
#: What else is counted by the GPU: with one of these, fewer GPUs would be another job.
KEEPS_GPUS = frozenset("mem-per-gpu cpus-per-gpu ntasks-per-gpu gpu-bind gpus-per-task gpus-per-socket".split())

#: Launcher -> options with the number of its processes, each of which takes a GPU.
LAUNCHERS = {
    "torchrun": ("--nproc_per_node", "--nproc-per-node"),
    "torch.distributed.run": ("--nproc_per_node", "--nproc-per-node"),
    "torch.distributed.launch": ("--nproc_per_node", "--nproc-per-node"),
    "accelerate": ("--num_processes", "--num-processes"),
    "accelerate.commands.launch": ("--num_processes", "--num-processes"),
    "deepspeed": ("--num_gpus", "--num-gpus"),
    "colossalai": ("--nproc_per_node", "--nproc-per-node"),
    "composer": ("-n", "--nproc"),
    "horovodrun": ("-np", "--num-proc"),
    "mpirun": ("-np", "-n", "--np", "-c", "--n"),
    "mpiexec": ("-np", "-n", "--np", "-c", "--n"),
    "srun": ("-n", "--ntasks"),
}
#: Flags of training scripts that name a network: only a script with one of them is sent.
NAMES_NETWORK = (" --arch", " --model", " -a ")
#: The name of the jobs that stand between a job and its retry.
GATE_NAME = "crowdrun-gate"
#: Ends with 0 when the job died for want of memory. `man sacct`, JOB STATE CODES; where memory is sampled
#: (OverMemoryKill) the state is FAILED, and slurmstepd's line in the job's standard error tells; that only a step was
#: killed is known to sacct alone, a second or two later.
GATE = r"""#!/bin/sh
# crowdrun: lets the retry of job @JOB@ start if that died for want of memory, and vanish if not.
died() {
    shown=$(scontrol -o show job "$1" 2>/dev/null)
    number=${shown#JobId=}
    number=${number%% *}
    state=${shown#* JobState=}
    case ${state%% *} in
    OUT_OF_MEMORY) return 0 ;;
    FAILED | '') ;;
    *) return 1 ;;
    esac
    file=$(printf '%s\n' "$shown" | sed -n 's/.* StdErr=\(.*\) StdIn=.*/\1/p')
    # The attempts before it may have written to the same file.
    [ -f "$file" ] && tail -c 65536 "$file" | grep '^slurmstepd[^:]*: error: ' |
        grep -E "(StepId=|[Jj]ob |[Ss]tep )${number:-$1}([. ]|\$)" |
        grep -Eqi 'exceeded .*memory limit|oom[-_]kill event' && return 0
    for second in 1 2 3 4 5 6 7 8 9 10; do
        states=$(sacct -n -P -j "$1" -o State 2>/dev/null)
        case $states in
        *OUT_OF_ME*) return 0 ;;
        '' | *PENDING* | *RUNNING* | *COMPLETING*) sleep 1 ;;
        *) return 1 ;;
        esac
    done
    return 1
}
[ @ARRAY@ = no ] && { died @JOB@; exit; }
# Of an array: the tasks of the retry whose own task died stay, the others are cancelled.
for second in 1 2 3 4 5 6 7 8 9 10; do
    tasks=$(squeue -h -r -u "$(id -un)" -o '%F_%K %E' | grep "afterok:$SLURM_JOB_ID[^0-9]" | grep '_[0-9]')
    [ -n "$tasks" ] && break
    sleep 1
done
left=1
for task in $(printf '%s\n' "$tasks" | sed 's/ .*//'); do
    if died "@JOB@_${task#*_}"; then left=0; else scancel "$task"; fi
done
exit $left
"""


class NoAdviceError(Exception):
    """Why nothing is said about this job."""


# ---- what sbatch would make of its arguments


def split(arguments: "list[str]") -> "tuple[list[tuple[str, str]], list[str]]":
    """Options as (long name, value) in their order, and the script with its arguments; as getopt_long does it.

    >>> split(["--mem=4G", "-N2", "-c", "4", "-Ht10", "--part", "gpu", "job.sh", "--mem=1"])[1]
    ['job.sh', '--mem=1']
    >>> split(["--mem=4G", "-N2", "-c", "4", "-Ht10", "--part", "gpu"])[0]
    [('mem', '4G'), ('nodes', '2'), ('cpus-per-task', '4'), ('hold', ''), ('time', '10'), ('partition', 'gpu')]
    """
    options = []  # type: list[tuple[str, str]]
    waiting = list(arguments)
    while waiting and waiting[0].startswith("-") and waiting[0] != "-":
        argument = waiting.pop(0)
        if argument == "--":
            break
        if argument.startswith("--"):
            name, glued, value = argument[2:].partition("=")
            name = _full_name(name)
            if name in WITH_VALUE and not glued:
                value = _next(waiting, argument)
            options.append((SYNONYMS.get(name, name), value))
        else:
            options += _split_letters(argument, waiting)
    return options, waiting


def components(arguments: "list[str]") -> "tuple[list[list[tuple[str, str]]], list[str]]":
    """The options of each component of a heterogeneous job, and the script with its arguments.

    >>> components(["-n1", ":", "-n", "2", "job.sh", ":"])
    ([[('ntasks', '1')], [('ntasks', '2')]], ['job.sh', ':'])
    """
    options, rest = split(arguments)
    found = [options]
    while rest[:1] == [":"]:
        options, rest = split(rest[1:])
        found.append(options)
    return found, rest


def take_own(arguments: "list[str]") -> "tuple[list[str], dict[str, str]]":
    """The arguments without our own options, and these; both --crowd=fill and --crowd fill.

    >>> take_own(["--crowd=fill", "-J", "--crowd=x", "--crowd-retry", "2", "job.sh", "--crowd=off"])
    (['-J', '--crowd=x', 'job.sh', '--crowd=off'], {'crowd': 'fill', 'crowd-retry': '2'})
    """
    kept, own = [], {}  # type: list[str], dict[str, str]
    waiting = list(arguments)
    while waiting and (waiting[0].startswith("-") or waiting[0] == ":") and waiting[0] not in ("-", "--"):
        name, glued, value = waiting[0][2:].partition("=")
        if waiting[0].startswith("--") and name in OWN:
            waiting.pop(0)
            own[name] = value if glued or not waiting else waiting.pop(0)
        else:
            length = _length(waiting)
            kept += waiting[:length]
            del waiting[:length]
    return kept + waiting, own


def _length(waiting: "list[str]") -> int:
    """Arguments that the option at the front takes up; an unknown one takes itself."""
    if waiting[0] == ":":
        return 1
    try:
        return max(1, len(waiting[:2]) - len(split(waiting[:2])[1]) if _takes_next(waiting[0]) else 1)
    except NoAdviceError:
        return 1


def _takes_next(argument: str) -> bool:
    if argument.startswith("--"):
        name, glued, _ = argument[2:].partition("=")
        return not glued and _full_name(name) in WITH_VALUE
    for place, letter in enumerate(argument[1:], 2):
        name = SHORT.get(letter, "")
        if name in WITH_VALUE:
            return place == len(argument)
        if name in WITH_OPTIONAL_VALUE:
            return False
    return False


def _split_letters(argument: str, waiting: "list[str]") -> "list[tuple[str, str]]":
    options = []
    letters = argument[1:]
    while letters:
        name, letters = SHORT.get(letters[0]), letters[1:]
        if name is None:
            raise NoAdviceError("an option that it does not know: " + argument)
        value = ""
        if name in WITH_VALUE:
            value, letters = letters or _next(waiting, argument), ""
        elif name in WITH_OPTIONAL_VALUE:
            value, letters = letters, ""
        options.append((name, value))
    return options


def _full_name(start: str) -> str:
    """An option's name from an unambiguous start of it."""
    if start in LONG:
        return start
    names = {SYNONYMS.get(name, name) for name in LONG if name.startswith(start)}
    if len(names) != 1:
        raise NoAdviceError("an option that it does not know: --" + start)
    return names.pop()


def _next(waiting: "list[str]", option: str) -> str:
    if not waiting:
        raise NoAdviceError("no value for " + option)
    return waiting.pop(0)


def directives(script: str) -> "list[list[str]]":
    """The arguments in the #SBATCH lines that sbatch honours, those before the first command; of each component.

    >>> directives("#!/bin/sh\\n#SBATCH -J 'a b' -t5 # later\\n\\n# so\\n#SBATCH --mem 4G\\nhostname\\n#SBATCH -N 9\\n")
    [['-J', 'a b', '-t5', '--mem', '4G']]
    >>> directives("#SBATCH -n 1\\n#SBATCH hetjob\\n#SBATCH -n 2\\n")
    [['-n', '1'], ['-n', '2']]
    """
    found = [[]]  # type: list[list[str]]
    for line in script.split("\n"):
        if line.startswith("#SBATCH"):
            arguments = words(line[len("#SBATCH") :])
            if HETEROGENEOUS.intersection(arguments):
                found.append([])
            else:
                found[-1] += arguments
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return found


def words(text: str) -> "list[str]":
    r"""The words of a #SBATCH line: quotes, backslashes and an unescaped # as sbatch reads them (slurm, sbatch/opt.c).

    >>> words(r" -J a#b"), words(r''' "a b"'c'\#d  e ''')
    (['-J', 'a'], ['a bc#d', 'e'])
    """
    found = []  # type: list[str]
    word = None  # type: str | None
    quote, escaped = "", False
    for character in text:
        if escaped:
            word, escaped = (word or "") + character, False
        elif quote:
            if character == quote:
                quote = ""
            else:
                word = (word or "") + character
        elif character == "#":
            break
        elif character.isspace():
            if word is not None:
                found.append(word)
            word = None
        else:
            word = word or ""
            if character == "\\":
                escaped = True
            elif character in "\"'":
                quote = character
            else:
                word += character
    return found if word is None else [*found, word]


def effective(layers: "list[list[tuple[str, str]]]") -> "dict[str, str]":
    """The options in force: each layer over those before it, the last of one name in a layer.

    >>> effective([[("mem", "4G"), ("time", "5")], [("mem-per-cpu", "1G"), ("time", "9")]]) == {
    ...     "mem-per-cpu": "1G", "time": "9"}
    True
    """
    options = {}  # type: dict[str, str]
    for layer in layers:
        for name, value in layer:
            if name in MEMORY:
                for other in MEMORY:
                    options.pop(other, None)
            options[name] = value
    return options


class Submission:
    """One call of sbatch, read: its arguments, the script's text, and the options in force of each component."""

    def __init__(self, arguments: "list[str]", environment: "dict[str, str]", piped: "bytes | None" = None) -> None:
        self.arguments, self.piped = arguments, piped
        given, self.rest = components(arguments)
        #: Where an option can be put in so that it goes before all others.
        self.place = len(arguments) - len(self.rest)
        if self.place and arguments[self.place - 1] == "--":
            self.place -= 1
        self.wrapped = next((value for layer in given for name, value in layer if name == "wrap"), None)
        self.text = self._read() if self.wrapped is None else None
        variables = [
            (name, environment[variable])
            for variable, name in VARIABLES.items()
            if environment.get(variable) or (variable in environment and name not in WITH_VALUE)
        ]
        written = [split(part)[0] for part in directives(self.text or "")]
        self.options = []  # type: list[dict[str, str]]
        # The components of a heterogeneous job take over each other's options: what fits one may break the next.
        self.changeable = max(len(given), len(written)) == 1
        layers = []  # type: list[list[tuple[str, str]]]
        for number in range(max(len(given), len(written))):
            # A component begins with what the one before it had.
            layers += [written[number] if number < len(written) else [], variables if number == 0 else []]
            layers.append(given[number] if number < len(given) else given[-1])
            self.options.append(effective(layers))

    def _read(self) -> "str | None":
        """The start of the script, without moving on in it; None where it is no plain file or already at its end."""
        if self.piped is not None:
            return self.piped[:SCRIPT_BYTES].decode("utf-8", "replace")
        descriptor = os.open(_find(self.rest[0]), os.O_RDONLY | os.O_NONBLOCK) if self.rest else 0
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return os.pread(descriptor, SCRIPT_BYTES, os.lseek(descriptor, 0, os.SEEK_CUR)).decode("utf-8", "replace")
        finally:
            if self.rest:
                os.close(descriptor)

    def with_options(self, options: "list[str]") -> "list[str]":
        """The arguments with options of ours, which go before all others."""
        return self.arguments[: self.place] + options + self.arguments[self.place :]

    def question(self) -> "list[dict[str, object]]":
        """What the service is told of each component: options in force, script, submit line, who and where."""
        import grp
        import pwd

        known = {
            "script": _clean(os.path.basename(self.rest[0])) if self.rest else None,
            "command": _clean(" ".join(["sbatch", *self.arguments])),
            "text": _clean(self.text) if self.text and any(flag in self.text for flag in NAMES_NETWORK) else None,
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "group": grp.getgrgid(os.getgid()).gr_name,
            "work_dir": _clean(os.getcwd()),
            "submit_time": time.time(),
        }
        return [
            dict(known, options={name: _clean(value) for name, value in options.items()}) for options in self.options
        ]


def _clean(text: str) -> str:
    """Bytes that are no UTF-8 shown as question marks, which JSON cannot hold; no longer than the service takes."""
    return text[:TEXT_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def _find(script: str) -> str:
    """A script as sbatch finds it: here, and for a name without a folder on the PATH too."""
    folders = [] if "/" in script else os.environ.get("PATH", "").split(os.pathsep)
    candidates = [script] + [os.path.join(folder, script) for folder in folders]
    return next((path for path in candidates if os.path.isfile(path)), script)


# ---- settings: site, user, environment, option


def megabytes(text: str) -> float:
    """MB of a size as sbatch takes it.

    >>> megabytes("64G"), megabytes("4096"), megabytes("2gb")
    (65536.0, 4096.0, 2048.0)
    """
    letters = text.strip().upper().rstrip("B")
    unit = letters[-1:] if letters[-1:] in ("K", "M", "G", "T") else ""
    return (
        float(letters[: len(letters) - len(unit)])
        * {"": 1.0, "K": 1 / 1024.0, "M": 1.0, "G": 1024.0, "T": 2.0**20}[unit]
    )


def minutes(text: str) -> float:
    """Minutes of a time as sbatch takes it: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S, or without a limit.

    >>> minutes("90"), minutes("1:30:00"), minutes("1-2"), minutes("5:30"), minutes("infinite")
    (90.0, 90.0, 1560.0, 5.5, inf)
    """
    if text.strip().lower() in ("infinite", "unlimited"):
        return float("inf")
    days, dash, rest = text.strip().rpartition("-")
    parts = [float(part) for part in rest.split(":")]
    if dash:
        hours, minute, second = [*parts, 0.0, 0.0][:3]
        return (float(days) * 24 + hours) * 60 + minute + second / 60
    if len(parts) == 3:
        return parts[0] * 60 + parts[1] + parts[2] / 60
    return parts[0] + (parts[1] / 60 if len(parts) > 1 else 0.0)


def _mode(text: str) -> str:
    if text not in MODES:
        raise ValueError("allowed are " + ", ".join(MODES))
    return text


def _retries(text: str) -> int:
    if not text.isdigit() or int(text) > MOST_RETRIES:
        raise ValueError(f"allowed is a number from 0 to {MOST_RETRIES}")
    return int(text)


def _limit_s(text: str) -> float:
    if not 10 <= float(text) <= 10_000:
        raise ValueError("allowed are 10 to 10000")
    return float(text) / 1000


#: Setting -> what reads its value.
SETTINGS = {
    "mode": _mode,
    "url": str,
    "limit_ms": _limit_s,
    "retry": _retries,
    "token_file": str,
}  # type: dict[str, Callable[[str], Any]]
#: What only the site may set; in a section [partition NAME] for that partition alone.
BOUNDS = {
    "min_mem": megabytes,
    "max_mem": megabytes,
    "min_time": minutes,
    "max_time": minutes,
    "max_gpus": int,
    "gate_partition": str,
}  # type: dict[str, Callable[[str], Any]]


def read_config(path: str, site: bool) -> "dict[str, dict[str, str]]":
    """Section -> key -> value of a file with lines `key = value`; nothing where there is no file."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read(SCRIPT_BYTES).splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise NoAdviceError(f"cannot read {path}: {error.strerror}") from error
    allowed = {*SETTINGS, *BOUNDS} if site else set(SETTINGS)
    found, section = {"": {}}, ""  # type: dict[str, dict[str, str]], str
    for number, line in enumerate(lines, 1):
        line = line.partition("#")[0].strip()
        if site and line.startswith("[partition ") and line.endswith("]"):
            section, allowed = line[len("[partition ") : -1].strip(), set(BOUNDS)
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if line and (not equals or key not in allowed):
            raise NoAdviceError(f"{path}, line {number}: {line!r}; allowed are " + ", ".join(sorted(allowed)))
        if line:
            found.setdefault(section, {})[key] = value
    return found


class Settings:
    """The values in force; each layer goes before the one before it."""

    def __init__(self, environment: "dict[str, str]", own: "dict[str, str]") -> None:
        self._site_file = environment.get("CROWDRUN_SITE_CONFIG") or SITE_CONFIG
        home = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", "/nonexistent"), ".config")
        user_file = os.path.join(home, "crowdrun", "csbatch.conf")
        self._sections = read_config(self._site_file, site=True)
        variables = {key: environment.get("CROWDRUN_" + key.upper()) for key in SETTINGS}
        layers = (
            (self._site_file, self._sections.get("", {})),
            (user_file, read_config(user_file, site=False).get("", {})),
            ("the environment", {key: text for key, text in variables.items() if text}),
            ("the options", {OWN[name]: text for name, text in own.items()}),
        )
        values = {"mode": "advise", "url": DEFAULT_URL, "limit_ms": LIMIT_S, "retry": 0, "token_file": ""}  # type: dict[str, Any]
        for origin, layer in layers:
            for key in SETTINGS:
                if key in layer:
                    values[key] = _parsed(SETTINGS[key], key, layer[key], origin)
        self.mode, self.retry = values["mode"], values["retry"]  # type: str, int
        self.url, self.limit_s, self.token_file = values["url"], values["limit_ms"], values["token_file"]  # type: str, float, str
        self._token = environment.get("CROWDRUN_TOKEN")

    def bound(self, key: str, partition: str, otherwise: float) -> float:
        """A limit of the site, that of the partition before the general one."""
        text = self.text(key, partition)
        return otherwise if text is None else float(_parsed(BOUNDS[key], key, text, self._site_file))

    def text(self, key: str, partition: str) -> "str | None":
        """A value of the site as it is written."""
        return self._sections.get(partition, {}).get(key, self._sections.get("", {}).get(key))

    def bearer(self) -> "str | None":
        """The token that is sent, if there is one."""
        if self._token or not self.token_file:
            return self._token
        try:
            with open(os.path.expanduser(self.token_file), encoding="ascii") as file:
                return file.read(4096).strip()
        except (OSError, ValueError) as error:
            raise NoAdviceError(f"cannot read the token file {self.token_file}: {error}") from error


def _parsed(parse: "Callable[[str], Any]", key: str, text: str, origin: str) -> "Any":
    try:
        return parse(text)
    except ValueError as error:
        raise NoAdviceError(f"{key} is {text!r} in {origin}: {error}") from error


# ---- the question and its answer


class Answer:
    """What the service says of a job: a line, figures to set, and what it understood the job to ask for.

    >>> Answer({"line": None, "mem_mb": 900.5, "asked": {"nodes": 2}}).mem_mb
    900.5
    """

    def __init__(self, told: "Any") -> None:
        asked = told.get("asked") or {} if isinstance(told, dict) else None
        if not isinstance(asked, dict) or "line" not in told:
            raise NoAdviceError("an answer of another kind")
        self.line = None if told["line"] is None else _shown(told["line"])
        self.mem_mb = _figure(told, "mem_mb", 1, MOST_MB)
        self.time_s = _figure(told, "time_s", 1, MOST_S)
        self.gpus = _figure(told, "gpus", 0, MOST_GPUS)
        ladder = told.get("ladder_mb") or []
        self.ladder_mb = [_figure({"ladder_mb": step}, "ladder_mb", 1, MOST_MB) or 0.0 for step in list(ladder)[:100]]
        self.nodes = int(_figure(asked, "nodes", 1, 1e6) or 1)
        self.cpus = _figure(asked, "cpus", 0, 1e9) or 0.0
        self.asked_mb = _figure(asked, "mem_mb", 0, 1e12) or None
        self.asked_gpus = int(_figure(asked, "gpus", 0, MOST_GPUS) or 0)


def _figure(told: "dict[str, Any]", name: str, least: float, most: float) -> "float | None":
    value = told.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not least <= value <= most:
        raise NoAdviceError(f"{name} is {value!r:.40} in the answer, which is out of range")
    return float(value)


def _shown(line: "Any") -> str:
    if not isinstance(line, str):
        raise NoAdviceError("a line that is no text")
    return "".join(character if character.isprintable() else " " for character in line)[:LINE_CHARACTERS]


def ask(settings: Settings, question: "list[dict[str, object]]") -> "list[Answer]":
    """The service's answer for each component of a job."""
    body = _json_text(question if len(question) > 1 else question[0]).encode("ascii")
    status, content = _post(settings, "/v1/advice", body)
    if status != 200:
        raise NoAdviceError(f"the service answered {status}")
    told = json_value(content.decode("utf-8"))
    answers = [Answer(each) for each in (told if isinstance(told, list) else [told])]
    if len(answers) != len(question):
        raise NoAdviceError("an answer for another number of jobs")
    return answers


def _json_text(value: object) -> str:
    """JSON of texts, numbers, None, lists and dictionaries; `json` would take 6 ms to import."""
    if isinstance(value, dict):
        return "{" + ",".join(_json_text(key) + ":" + _json_text(item) for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json_text, value)) + "]"
    if isinstance(value, str):
        plain = value.isprintable() and all(character < "\x7f" and character not in '"\\' for character in value)
        return '"' + (value if plain else "".join(map(_escaped, value))) + '"'
    return "null" if value is None else repr(value)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


class _Reading:
    """How `_json` is to read (it asks for these attributes)."""

    strict, memo = True, {}  # type: bool, dict[str, str]
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int

    @staticmethod
    def parse_constant(name: str) -> float:
        raise NoAdviceError(name + " in the answer")


def json_value(text: str) -> "Any":
    """The value of a text in JSON."""
    try:
        from _json import make_scanner
    except ImportError:  # another Python than CPython
        import json

        return json.loads(text, parse_constant=_Reading.parse_constant)
    try:
        scan = make_scanner(_Reading)  # type: ignore[arg-type]
        value, end = scan(text.strip(), 0)
    except (StopIteration, ValueError) as error:
        raise NoAdviceError("an answer that is no JSON") from error
    if end != len(text.strip()):
        raise NoAdviceError("an answer that is no JSON")
    return value


def _post(settings: Settings, path: str, body: bytes) -> "tuple[int, bytes]":
    """One request of HTTP/1.0; http.client would add 50 ms to every submission, the module socket 6."""
    scheme, separator, rest = settings.url.rstrip("/").partition("://")
    if not separator or scheme not in ("http", "https", "unix"):
        raise NoAdviceError(f"the address {settings.url!r} begins with none of http://, https://, unix://")
    host, _, prefix = ("localhost", "", "") if scheme == "unix" else rest.partition("/")
    token = settings.bearer()
    head = f"POST {'/' + prefix if prefix else ''}{path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    connection = _connected(scheme, rest if scheme == "unix" else host, settings.limit_s)
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body)
    answer = b""
    while len(answer) <= ANSWER_BYTES:
        part = connection.recv(ANSWER_BYTES)
        if not part:
            top, _, content = answer.partition(b"\r\n\r\n")
            try:
                return int(top.split(None, 2)[1]), content
            except (IndexError, ValueError) as error:
                raise NoAdviceError("an answer that is no HTTP") from error
        answer += part
    raise NoAdviceError(f"an answer of more than {ANSWER_BYTES} bytes")


def _connected(scheme: str, address: str, limit_s: float) -> "Any":
    import _socket

    if scheme == "unix":
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        connection.settimeout(limit_s)
        connection.connect(address)
        return connection
    bare, colon, port = address.rpartition(":")
    host, port = (
        (bare, port) if colon and not address.endswith("]") else (address, "443" if scheme == "https" else "80")
    )
    if scheme == "https":
        import socket
        import ssl

        host = host.strip("[]")
        return ssl.create_default_context().wrap_socket(
            socket.create_connection((host, int(port)), limit_s), server_hostname=host
        )
    failure = OSError("no such host")
    # As bytes: a text is encoded as IDNA, which takes 5 ms to import.
    name = host.strip("[]").encode("utf-8")
    for family, kind, protocol, _, place in _socket.getaddrinfo(name, int(port), 0, _socket.SOCK_STREAM):
        connection = _socket.socket(family, kind, protocol)
        connection.settimeout(limit_s)
        try:
            connection.connect(place)
            return connection
        except OSError as error:
            failure = error
    raise failure


# ---- what is set


class Change:
    """An option that is set: its value, and what it was."""

    def __init__(self, option: str, value: str, was: "str | None") -> None:
        self.option, self.value, self.was = option, value, was

    def argument(self) -> str:
        return f"--{self.option}={self.value}"

    def __str__(self) -> str:
        return self.argument() + (f" (was {self.was})" if self.was is not None else "")


class Plan:
    """What is set for one job, and remarks on what was left alone."""

    def __init__(self, submission: Submission, answer: Answer, settings: Settings) -> None:
        self.options, self.answer, self.settings = submission.options[0], answer, settings
        self.partition = self.options.get("partition", "")
        self.script = submission.text if submission.wrapped is None else submission.wrapped
        self.changes, self.remarks = [], []  # type: list[Change], list[str]
        self._nodes = None  # type: list[dict[str, float]] | None

    def decide(self, mode: str) -> "list[Change]":
        """The changes; none in the modes that change nothing."""
        if mode in ("fill", "apply"):
            for choose in (self._memory, self._time, self._gpus):
                change = choose(mode)
                if change is not None:
                    self.changes.append(change)
        return self.changes

    def memory_form(self) -> "tuple[str, float]":
        """The option that memory is given by, and how many of its values make the job's total."""
        form = next((name for name in MEMORY if name in self.options), None)
        if form is None:
            # Tasks may lie on any number of nodes where none is named: then only a share a CPU is certain.
            spread = "nodes" not in self.options and self.options.get("ntasks", "1") != "1"
            form = "mem-per-cpu" if spread else "mem"
        answer = self.answer
        shares = {"mem": float(answer.nodes), "mem-per-cpu": answer.cpus, "mem-per-gpu": float(answer.asked_gpus)}
        return form, shares[form]

    def memory_option(self, total_mb: float) -> "Change | None":
        """The memory option for so much in total, within the site's bounds; None where no node has as much."""
        form, shares = self.memory_form()
        was, nodes = self.options.get(form), self.answer.nodes
        # With 0, and with a node of one's own, the memory is the node's, however much that is.
        if not shares or "exclusive" in self.options or (was is not None and self.answer.asked_mb is None):
            return None
        least, most = self._bounds("mem", 1.0, MOST_MB)
        total_mb = min(max(total_mb, least * nodes), most * nodes)
        lowered = was is not None and self.answer.asked_mb is not None and total_mb <= self.answer.asked_mb
        if not lowered and total_mb / nodes > self.largest("mem"):
            self.remarks.append(f"no node has {_ceil(total_mb / nodes)}M")
            return None
        return Change(form, f"{_ceil(total_mb / shares)}M", was)

    def _memory(self, mode: str) -> "Change | None":
        if self.answer.mem_mb is None or (mode == "fill" and any(name in self.options for name in MEMORY)):
            return None
        change = self.memory_option(self.answer.mem_mb)
        if change is not None and change.was is not None and megabytes(change.was) == megabytes(change.value):
            return None
        return change

    def _time(self, mode: str) -> "Change | None":
        was = self.options.get("time")
        if self.answer.time_s is None or (mode == "fill" and was is not None) or KEEPS_TIME & set(self.options):
            return None
        least, most = self._bounds("time", LEAST_MINUTES, float("inf"))
        before = None if was is None else minutes(was)
        if before and self.answer.time_s / 60 <= before:
            # The least that is set is no reason to raise what was asked for.
            most = min(most, before)
        wanted = _ceil(min(max(self.answer.time_s / 60, least), most))
        if before in (0, wanted):
            # 0 asks for no limit at all.
            return None
        if (before is None or wanted > before) and wanted > self.largest("time"):
            self.remarks.append(f"no partition allows {wanted} minutes")
            return None
        return Change("time", str(wanted), was)

    def _gpus(self, mode: str) -> "Change | None":
        given = [name for name in GPU_OPTIONS if "gpu" in name + self.options.get(name, "") and name in self.options]
        wanted, asked = self.answer.gpus, self.answer.asked_gpus
        if wanted is None or self.answer.nodes > 1 or (mode == "fill" and given):
            return None
        if not given:
            return self._more_gpus(int(wanted))
        if len(given) > 1 or KEEPS_GPUS & set(self.options) or wanted >= asked or self.script is None:
            return None
        needed, launcher = gpus_needed(self.script, self.options)
        least = max(int(wanted), 1, asked if needed is None else needed)
        if least > wanted and launcher:
            self.remarks.append(f"{min(least, asked)} GPUs kept for {launcher}")
        value = fewer_gpus(self.options[given[0]], least) if least < asked else None
        return None if value is None else Change(given[0], value, self.options[given[0]])

    def _more_gpus(self, wanted: int) -> "Change | None":
        if wanted < 1:
            return None
        wanted = max(wanted, gpus_needed(self.script or "", self.options)[0] or 1)
        most = min(self.settings.bound("max_gpus", self.partition, MOST_GPUS), self.largest("gpus"))
        if wanted > most:
            self.remarks.append(f"no node has {wanted} GPUs")
            return None
        return Change("gpus", str(wanted), None)

    def _bounds(self, name: str, least: float, most: float) -> "tuple[float, float]":
        bound = self.settings.bound
        return bound("min_" + name, self.partition, least), bound("max_" + name, self.partition, most)

    def largest(self, name: str) -> float:
        """The most MB, minutes or GPUs (mem, time, gpus) of a node that the job may get; 0 where Slurm does not say."""
        if self._nodes is None:
            told = _output(["sinfo", "-h", "-N", "-o", "%P|%m|%l|%G|%f"])
            self._nodes = read_nodes(told, self.partition, self.options)
        return max((node[name] for node in self._nodes), default=0.0)


def _ceil(value: float) -> int:
    return -int(-value // 1)


def read_nodes(text: str, partitions: str, options: "dict[str, str]") -> "list[dict[str, float]]":
    """What each node that a job may get has: MB, minutes of its partition, GPUs.

    >>> read_nodes("batch*|6000|1:00:00|gpu:a100:4(S:0),shard:8|avx\\nbig|9000|infinite|(null)|(null)\\n", "", {})
    [{'mem': 6000.0, 'time': 60.0, 'gpus': 4}]
    """
    rows = [line.split("|") for line in text.splitlines()]
    names = partitions.split(",")
    rows = [
        row for row in rows if len(row) == 5 and (row[0].rstrip("*") in names if partitions else row[0].endswith("*"))
    ]
    nodes = [{"mem": float(row[1].rstrip("+")), "time": minutes(row[2]), "gpus": _gres_gpus(row[3])} for row in rows]
    features = options.get("constraint")
    if features is None or not nodes:
        return nodes
    plain = all(character.isalnum() or character in "_-." for character in features)
    if plain:
        return [node for node, row in zip(nodes, rows) if features in row[4].split(",")]  # noqa: B905
    # An expression: what even the smallest node has.
    return [{name: min(node[name] for node in nodes) for name in nodes[0]}]


def _gres_gpus(text: str) -> int:
    total = 0
    for entry in text.split(","):
        parts = entry.partition("(")[0].split(":")
        if parts[0] == "gpu" and parts[-1].isdigit():
            total += int(parts[-1])
    return total


def fewer_gpus(value: str, gpus: int) -> "str | None":
    """A --gpus or --gres value with another number of GPUs; None where it names several kinds.

    >>> fewer_gpus("4", 2), fewer_gpus("a100:4", 2), fewer_gpus("gpu:a100:4,tmp:1", 2), fewer_gpus("gpu:2,gpu:2", 1)
    ('2', 'a100:2', 'gpu:a100:2,tmp:1', None)
    """
    entries = value.split(",")
    bare = [entry[5:] if entry.startswith("gres:") else entry for entry in entries]
    places = [at for at, entry in enumerate(bare) if entry.split(":")[0] == "gpu"] or list(range(len(entries)))
    if len(places) != 1 or "(" in value or "=" in value:
        return None
    head, colon, last = bare[places[0]].rpartition(":")
    if not last.isdigit():
        return None
    bare[places[0]] = head + colon + str(gpus)
    return ",".join(bare)


def gpus_needed(script: str, options: "dict[str, str]") -> "tuple[int | None, str]":
    """GPUs that a launcher in the script needs, and its name; None for all that are asked for.

    >>> gpus_needed("torchrun --standalone \\\\\\n  --nproc_per_node=4 train.py", {})
    (4, 'torchrun')
    >>> gpus_needed("N=2\\nmpirun -np $N python a.py; srun -n8 b", {})
    (8, 'srun')
    >>> gpus_needed("torchrun --nproc-per-node gpu x", {})
    (None, 'torchrun')
    >>> gpus_needed("python train.py  # torchrun --nproc_per_node=4", {})
    (0, '')
    """
    needed, by = 0, ""
    variables = {}  # type: dict[str, str]
    text = script.replace("\\\n", " ")
    for separator in ("&&", "||", ";", "|", "&", "(", ")", "`"):
        text = text.replace(separator, "\n")
    for line in text.split("\n"):
        tokens = _without_comment(line.split())
        for at, token in enumerate(tokens):
            name, equals, value = token.partition("=")
            if equals and name.isidentifier():
                variables[name] = value.strip("\"'")
                if name == "CUDA_VISIBLE_DEVICES" and value.strip("\"'"):
                    needed, by = max((needed, by), (value.count(",") + 1, name))
            launcher = os.path.basename(token)
            if launcher not in LAUNCHERS or (launcher == "accelerate" and tokens[at + 1 : at + 2] != ["launch"]):
                continue
            number = _processes(tokens[at + 1 :], LAUNCHERS[launcher], variables)
            if number is None and launcher == "srun":
                number = options.get("ntasks", "1")
            if number is None or not number.isdigit():
                return None, launcher
            needed, by = max((needed, by), (int(number), launcher))
    return needed, by


def _without_comment(tokens: "list[str]") -> "list[str]":
    return tokens[: next((at for at, token in enumerate(tokens) if token.startswith("#")), len(tokens))]


def _processes(tokens: "list[str]", names: "tuple[str, ...]", variables: "dict[str, str]") -> "str | None":
    """The value of a launcher's option; it may be glued to a letter, and be a variable that the script sets."""
    for at, token in enumerate(tokens):
        option, equals, value = token.partition("=")
        if option not in names:
            glued = next(
                (name for name in names if len(name) == 2 and token.startswith(name) and token[2:].isdigit()), None
            )
            if glued is None:
                continue
            value = token[2:]
        elif not equals:
            value = tokens[at + 1] if at + 1 < len(tokens) else ""
        value = value.strip("\"'")
        if value.startswith("$"):
            value = variables.get(value.strip("${}"), value)
        return value
    return None


# ---- running other programs


def real_sbatch(environment: "dict[str, str]") -> "str | None":
    """The first sbatch on the PATH that is not this program under another name."""
    own = {os.path.realpath(__file__), os.path.realpath(sys.argv[0])}
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, "sbatch")
        if os.access(path, os.X_OK) and os.path.isfile(path) and os.path.realpath(path) not in own:
            return path
    return None


def _output(command: "list[str]") -> str:
    """What a program of Slurm's prints, its errors thrown away; the module subprocess would take 10 ms to import."""
    status, output = _run(command, None, quiet=True)
    return output.decode("utf-8", "replace") if status == 0 else ""


def _run(
    command: "list[str]", given: "bytes | None", quiet: bool, environment: "dict[str, str] | None" = None
) -> "tuple[int, bytes]":
    """Run a program: its exit status and what it printed. `given` is its standard input; without, ours is, or none."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.dup2(writing, 1)
            if given is not None:
                _feed(given)
            elif quiet:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            if quiet:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            _default_signals()
            os.execvpe(command[0], command, environment or dict(os.environ))
        finally:
            os._exit(127)
    os.close(writing)
    printed = b""
    while True:
        part = os.read(reading, 65536)
        if not part:
            break
        printed += part
    os.close(reading)
    try:
        status = os.waitpid(process, 0)[1]
    except ChildProcessError:
        # Whoever called us ignores SIGCHLD, and so the kernel keeps no status: what was printed has to do.
        status = 0
    return (os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)), printed


def _default_signals() -> None:
    """Python ignores SIGPIPE, and a program that it becomes would inherit that."""
    import _signal  # type: ignore[import-not-found]

    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)


def _feed(script: bytes) -> None:
    """Make a script that was read from a pipe standard input again; a child writes what the pipe may not hold."""
    reading, writing = os.pipe()
    if len(script) <= 4096 or os.fork() == 0:
        if len(script) > 4096:
            os.close(reading)
        try:
            view = memoryview(script)
            while view:
                view = view[os.write(writing, view) :]
        except OSError:  # nobody reads it any more
            pass
        if len(script) > 4096:
            os._exit(0)
    os.close(writing)
    os.dup2(reading, 0)
    os.close(reading)


def _all_of_standard_input() -> bytes:
    parts = []  # type: list[bytes]
    while True:
        part = os.read(0, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _piped_script(rest: "list[str]", given: "list[list[tuple[str, str]]]") -> "bytes | None":
    """The whole script where it comes through a pipe, up to its end as sbatch reads it; None where it does not."""
    if rest or any(name == "wrap" for layer in given for name, _ in layer) or not stat.S_ISFIFO(os.fstat(0).st_mode):
        return None
    return _all_of_standard_input()


def _print(printed: bytes) -> None:
    try:
        while printed:
            printed = printed[os.write(1, printed) :]
    except OSError:  # a full disk, or nobody reads it: the job was submitted all the same
        return


def _say(line: "str | None") -> None:
    try:
        if line:
            sys.stderr.write("crowdrun: " + line.replace("\n", " ") + "\n")
            sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        # Standard error is closed or its disk full: the job matters more than the line.
        return


# ---- a job and its advice, within the limit


class Advice:
    """What came of asking: the line to print, the changes, and what they were worked out from."""

    def __init__(self, line: "str | None", plan: "Plan | None" = None) -> None:
        self.line, self.plan = line, plan
        self.changes = plan.changes if plan else []


class Asking:
    """Finds out what to say and to set, within the limit whatever happens.

    The work is done in a thread that is left behind: a name server or a file system that hangs cannot be interrupted
    from within, but the thread ends when the process becomes sbatch.
    """

    def __init__(self, read: "Callable[[], Submission]", environment: "dict[str, str]", own: "dict[str, str]") -> None:
        self._read, self._environment, self._own = read, environment, own
        self.settings = None  # type: Settings | None
        self.submission = None  # type: Submission | None
        self._configured, self._done = _thread.allocate_lock(), _thread.allocate_lock()
        self._found = []  # type: list[Advice]

    def wait(self) -> Advice:
        """The advice, or after the limit that there is none."""
        begun = time.monotonic()
        self._configured.acquire()
        self._done.acquire()
        _thread.start_new_thread(self._work, ())
        limit_s = LIMIT_S
        if self._configured.acquire(True, LIMIT_S) and self.settings is not None:
            limit_s = self.settings.limit_s
        self._done.acquire(True, max(0.0, begun + limit_s - time.monotonic()))
        late = f"no advice: no answer within {limit_s * 1000:.0f} ms; submitted as written"
        return self._found[0] if self._found else Advice(late)

    def _work(self) -> None:
        try:
            try:
                self.settings = Settings(self._environment, self._own)
            finally:
                self._configured.release()
            self._found.append(self._advice(self.settings))
        except Exception as error:
            self._found.append(Advice(f"no advice: {_reason(error)}; submitted as written"))
        finally:
            self._done.release()

    def _advice(self, settings: Settings) -> Advice:
        if settings.mode == "off" and not settings.retry:
            return Advice(None)
        self.submission = self._read()
        if settings.mode == "off":
            return Advice(None)
        answers = ask(settings, self.submission.question())
        mode = settings.mode if self.submission.changeable else "advise"
        kept = [] if mode == settings.mode else ["a heterogeneous job is left as it is"]
        if len(answers) > 1:
            told = [f"component {number}: {answer.line}" for number, answer in enumerate(answers) if answer.line]
            return Advice("; ".join(told + kept) or None)
        plan = Plan(self.submission, answers[0], settings)
        plan.decide(mode)
        told = [line for line in (answers[0].line, *plan.remarks, *kept) if line]
        if plan.changes:
            told.append("set " + " ".join(map(str, plan.changes)))
        return Advice("; ".join(told) or None, plan)


def _reason(error: Exception) -> str:
    text = str(error).replace("\n", " ")[:200]
    if isinstance(error, (NoAdviceError, OSError)):
        return text or type(error).__name__
    return f"{type(error).__name__} ({text})"


# ---- retries after an out-of-memory end


class Retries:
    """Jobs that start when the one before them died for want of memory, each with more, and vanish otherwise.

    Slurm has no such dependency: `afternotok` also holds after a wrong program, a time limit or a node failure. So
    between a job and its retry stands a gate, a job of a second that looks how the job ended (`GATE`): the gate waits
    for the job with afternotok, the retry for the gate with afterok, and `--kill-on-invalid-dep` removes both from the
    queue as soon as they cannot start any more.
    """

    def __init__(self, sbatch: str, submission: Submission, plan: "Plan | None", settings: Settings) -> None:
        self._sbatch, self._submission, self._settings = sbatch, submission, settings
        self._options = submission.options[0]
        self._plan = plan or Plan(submission, Answer({"line": None, "asked": _asked(self._options)}), settings)
        # An array or a size that the environment asks for is not meant for the gate.
        self._gate_environment = {name: text for name, text in os.environ.items() if not name.startswith("SBATCH_")}

    def refusal(self) -> "str | None":
        """Why there can be none."""
        for option in ("exclusive", "hold", "wait", "test-only", "clusters", "quiet"):
            if option in self._options:
                return "no retry with --" + option
        if len(self._submission.options) > 1:
            return "no retry for a heterogeneous job"
        if self._submission.text is None and self._submission.wrapped is None:
            return "no retry for a script that can be read only once"
        if not self._held_mb():
            return "no retry: it is not known how much memory the job has; give --mem"
        return None

    def _held_mb(self) -> float:
        """MB in total that the job is submitted with; 0 where that is not known."""
        form, shares = self._plan.memory_form()
        for change in self._plan.changes:
            if change.option == form:
                return megabytes(change.value) * shares
        return self._plan.answer.asked_mb or 0.0

    def steps(self) -> "list[Change]":
        """The memory of each retry: twice the last, or more where the service's ladder says so, up to a whole node."""
        held, plan = self._held_mb(), self._plan
        found = []  # type: list[Change]
        for number in range(self._settings.retry):
            wanted = max([2 * held, *plan.answer.ladder_mb[: number + 1]])
            change = plan.memory_option(wanted) or plan.memory_option(plan.largest("mem") * plan.answer.nodes)
            total = megabytes(change.value) * plan.memory_form()[1] if change else 0.0
            if change is None or total < 1.1 * held:
                break
            found.append(change)
            held = total
        return found

    def submit(self, job: str, script: "bytes | None") -> str:
        """Submit gates and retries behind a job; what is said of them."""
        told, before, gates = [], job, []  # type: list[str], str, list[str]
        for step in self.steps():
            waits_for = ["afterok:" + gate for gate in gates[-1:]] + ["afternotok:" + before]
            gate_text = GATE.replace("@ARRAY@", "yes" if "array" in self._options else "no").replace("@JOB@", before)
            gate = self._job(self._gate_arguments(waits_for), gate_text.encode("ascii"), self._gate_environment)
            retry = self._job(self._retry_arguments(step, gate), script, None) if gate else None
            if retry is None:
                if gate:
                    _run(["scancel", gate], None, quiet=True)
                break
            told.append(f"{step.value} (job {retry})")
            before = retry
            gates.append(gate or "")
        if not told:
            return "no retry: sbatch refuses it, or no node has more memory"
        return "after an out-of-memory end it is tried with " + ", then ".join(told)

    def _gate_arguments(self, waits_for: "list[str]") -> "list[str]":
        partition = self._settings.text("gate_partition", self._plan.partition) or self._plan.partition
        same = dict(self._options, partition=partition)
        names = ("account", "partition", "qos", "reservation", "wckey")
        return [f"--{name}={same[name]}" for name in names if same.get(name)] + [
            "--parsable", "--job-name=" + GATE_NAME, "--ntasks=1", "--mem=100M", "--time=5", "--output=/dev/null",
            "--no-requeue", "--kill-on-invalid-dep=yes", "--dependency=" + ",".join(waits_for),
        ]  # fmt: skip

    def _retry_arguments(self, step: Change, gate: str) -> "list[str]":
        options = [change.argument() for change in self._plan.changes if change.option != step.option]
        options += [step.argument(), "--kill-on-invalid-dep=yes", "--dependency=afterok:" + gate, "--parsable"]
        if "open-mode" not in self._options:
            # What the attempts before it wrote is kept.
            options.append("--open-mode=append")
        return self._submission.with_options(options)

    def _job(
        self, arguments: "list[str]", script: "bytes | None", environment: "dict[str, str] | None"
    ) -> "str | None":
        status, printed = _run([self._sbatch, *arguments], script, quiet=True, environment=environment)
        return job_id(printed) if status == 0 else None


def _asked(options: "dict[str, str]") -> "dict[str, float]":
    """The memory of a job on one node where --mem tells it, without the service."""
    try:
        return {"mem_mb": megabytes(options["mem"])} if options.get("nodes", "1") == "1" else {}
    except (KeyError, ValueError):
        return {}


def job_id(printed: bytes) -> "str | None":
    """The job in sbatch's output, parsable or not.

    >>> job_id(b"Submitted batch job 12\\n"), job_id(b"12;cluster\\n"), job_id(b"")
    ('12', '12', None)
    """
    for line in reversed(printed.decode("utf-8", "replace").splitlines()):
        text = line.replace("Submitted batch job ", "").partition(";")[0].strip()
        if text.isdigit():
            return text
    return None


def submit_with_retries(sbatch: str, submission: Submission, retries: Retries, advice: Advice) -> int:
    """Submit the job, its retries behind it, and say so; the exit status is that of the job's own sbatch."""
    script = submission.piped
    if not submission.rest and submission.wrapped is None and script is None:
        # Standard input is a file: each sbatch needs it from its start.
        script = _all_of_standard_input()
    options = [change.argument() for change in advice.changes]
    status, printed = _run([sbatch, *submission.with_options(options)], script, quiet=False)
    _print(printed)
    said, job = [advice.line], job_id(printed)
    if status == 0 and job is not None:
        try:
            said.append(retries.submit(job, script))
        except Exception as error:
            said.append("no retry: " + _reason(error))
    _say("; ".join(part for part in said if part))
    return status


# ---- for cli_filter.lua


class Filtered(Submission):
    """A submission as Slurm's command-line filter tells it: the options are worked out, in JSON with `argv`."""

    def __init__(self, text: str, process: str) -> None:
        told = json_value(text)
        self.piped, self.place, self.wrapped = None, 0, told.get("wrap")
        self.rest = told.pop("argv", None) or []
        self.arguments = _command_line(process)[1:]
        self.options = [
            {name: value.replace("gres:gpu", "gpu") for name, value in told.items() if isinstance(value, str)}
        ]
        self.text = self._read() if self.rest and self.wrapped is None else None
        # A component is not told that it is one of several; a script on standard input cannot be seen from here.
        seen = self.text is not None or self.wrapped is not None
        alone = len(components(take_own(self.arguments)[0])[0]) == 1 and len(directives(self.text or "")) == 1
        self.changeable = seen and alone


def _command_line(process: str) -> "list[str]":
    with open(f"/proc/{process}/cmdline", "rb") as file:
        return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]


def answer_filter(text: str, process: str) -> None:
    """Say the line on standard error, and print `OPTION VALUE` for each option that the filter is to set."""
    advice = Asking(lambda: Filtered(text, process), dict(os.environ), {}).wait()
    _say(advice.line)
    _print("".join(f"{change.option} {change.value}\n" for change in advice.changes).encode("ascii"))


# ---- the command


def _become(sbatch: str, arguments: "list[str]", script: "bytes | None") -> None:
    if script is not None:
        _feed(script)
    _default_signals()
    os.execv(sbatch, ["sbatch", *arguments])


def _submit(sbatch: str, arguments: "list[str]", environment: "dict[str, str]", own: "dict[str, str]") -> None:
    script, options = None, []  # type: bytes | None, list[str]
    submission = None  # type: Submission | None
    try:
        given, rest = components(arguments)
        script = _piped_script(rest, given)
        asking = Asking(lambda: Submission(arguments, environment, script), environment, own)
        advice = asking.wait()
        submission = asking.submission
        refusal = None
        if asking.settings is not None and asking.settings.retry and submission is not None:
            retries = Retries(sbatch, submission, advice.plan, asking.settings)
            refusal = retries.refusal()
            if refusal is None:
                sys.exit(submit_with_retries(sbatch, submission, retries, advice))
        _say("; ".join(part for part in (advice.line, refusal) if part))
        options = [change.argument() for change in advice.changes]
    except Exception as error:
        _say(f"no advice: {_reason(error)}; submitted as written")
    _become(sbatch, submission.with_options(options) if submission and options else arguments, script)


def main() -> None:
    """Say what is known of the job, set what is wanted, and become sbatch."""
    arguments, environment = sys.argv[1:], dict(os.environ)
    if arguments[:1] == ["--crowd-filter"] and len(arguments) == 3:
        answer_filter(arguments[1], arguments[2])
        return
    sbatch = real_sbatch(environment)
    if sbatch is None:
        _say("there is no sbatch on the PATH; nothing was submitted")
        sys.exit(127)
    if {"-h", "--help", "--usage"}.intersection(arguments[:1]):
        sys.stderr.write(__doc__ + "\nHelp of sbatch:\n")
    if {"-h", "--help", "--usage", "-V", "--version"}.intersection(arguments[:1]):
        _become(sbatch, arguments, None)
    try:
        kept, own = take_own(arguments)
        _submit(sbatch, kept, environment, own)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
