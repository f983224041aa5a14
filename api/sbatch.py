# ruff: noqa: PTH109, PTH113, PTH118, PTH119, S606, SIM905
"""`csbatch`: sbatch with a line of advice. It is used exactly as sbatch, and never stands in its way.

    csbatch --mem=64G -t 2:00:00 train.sh

asks the crowdrun service at CROWDRUN_URL (default http://127.0.0.1:8642) what such jobs needed, prints one line on
standard error, and then becomes the real sbatch, with every argument, the environment and standard input untouched;
standard output and exit status are sbatch's own. Whatever goes wrong (no service, a slow one, rubbish from it), the
job is submitted as it was written after 300 ms at most, with one line that says so.

It only advises: it changes no option. Filling in and applying a recommendation, retries after an out-of-memory end,
advice for heterogeneous jobs, and #PBS lines are not done here. A script that comes through a pipe is not looked into
(only its options on the command line are), because what was read could not be given back to sbatch.

This file needs the standard library alone: an administrator can copy it to a login node as it is (Python 3.6 or newer).
"""

import _thread
import os
import stat
import sys
import time

DEFAULT_URL = "http://127.0.0.1:8642"
#: sbatch starts after this long, answered or not.
LIMIT_S = 0.3
#: Bytes of the script that are looked at: sbatch reads #SBATCH lines before the first command only.
SCRIPT_BYTES = 65536
#: Bytes of an answer that are read, and characters of its line that are shown.
ANSWER_BYTES, LINE_CHARACTERS = 65536, 300

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
    "SBATCH_CPUS_PER_GPU": "cpus-per-gpu",
    "SBATCH_GPUS": "gpus",
    "SBATCH_GPUS_PER_NODE": "gpus-per-node",
    "SBATCH_GPUS_PER_TASK": "gpus-per-task",
    "SBATCH_GRES": "gres",
    "SBATCH_JOB_NAME": "job-name",
    "SBATCH_MEM_PER_CPU": "mem-per-cpu",
    "SBATCH_MEM_PER_GPU": "mem-per-gpu",
    "SBATCH_MEM_PER_NODE": "mem",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
    "SBATCH_TIMELIMIT": "time",
}
#: Only one of these holds: one that is given later replaces the others that were given before.
MEMORY = frozenset({"mem", "mem-per-cpu", "mem-per-gpu"})
HETEROGENEOUS = frozenset({"hetjob", "packjob"})


class NoAdviceError(Exception):
    """Why nothing is said about this job."""


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
    if ":" in waiting[:1]:
        raise NoAdviceError("a heterogeneous job")
    return options, waiting


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


def directives(script: str) -> "list[str]":
    """The arguments in the #SBATCH lines that sbatch honours: those before the first command.

    >>> directives("#!/bin/sh\\n#SBATCH -J 'a b' -t5 # later\\n\\n# so\\n#SBATCH --mem 4G\\nhostname\\n#SBATCH -N 9\\n")
    ['-J', 'a b', '-t5', '--mem', '4G']
    """
    arguments = []  # type: list[str]
    for line in script.split("\n"):
        if line.startswith("#SBATCH"):
            arguments += words(line[len("#SBATCH") :])
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    if HETEROGENEOUS.intersection(arguments):
        raise NoAdviceError("a heterogeneous job")
    return arguments


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


def submission(arguments: "list[str]", environment: "dict[str, str]") -> "dict[str, object]":
    """What the service is told of a job: options in force, script, submit line, who and where."""
    import grp
    import pwd

    given, rest = split(arguments)
    variables = [(name, environment[variable]) for variable, name in VARIABLES.items() if environment.get(variable)]
    options = effective([split(directives(_script_head(rest, given)))[0], variables, given])
    return {
        "options": {name: _clean(value) for name, value in options.items()},
        "script": _clean(os.path.basename(rest[0])) if rest else None,
        "command": _clean(" ".join(["sbatch", *arguments])),
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "group": grp.getgrgid(os.getgid()).gr_name,
        "work_dir": _clean(os.getcwd()),
        "submit_time": time.time(),
    }


def _clean(text: str) -> str:
    """Bytes that are no UTF-8 shown as question marks: JSON has no way to hold them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _script_head(rest: "list[str]", given: "list[tuple[str, str]]") -> str:
    """The start of the script; of standard input without moving on in it, and only where it is a plain file."""
    if any(name == "wrap" for name, _ in given):
        return ""
    descriptor = os.open(_find(rest[0]), os.O_RDONLY | os.O_NONBLOCK) if rest else 0
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.pread(descriptor, SCRIPT_BYTES, os.lseek(descriptor, 0, os.SEEK_CUR)).decode("utf-8", "replace")
    finally:
        if rest:
            os.close(descriptor)


def _find(script: str) -> str:
    """A script as sbatch finds it: here, and for a name without a folder on the PATH too."""
    folders = [] if "/" in script else os.environ.get("PATH", "").split(os.pathsep)
    candidates = [script] + [os.path.join(folder, script) for folder in folders]
    return next((path for path in candidates if os.path.isfile(path)), script)


def ask(url: str, question: "dict[str, object]") -> "str | None":
    """The service's line about a job, or None when it has nothing to say."""
    import json

    status, body = _post(url.rstrip("/") + "/v1/advice", json.dumps(question).encode("ascii"))
    if status != 200:
        raise NoAdviceError(f"the service answered {status}")
    line = json.loads(body.decode("utf-8"))["line"]
    if line is None:
        return None
    return "".join(character if character.isprintable() else " " for character in line)[:LINE_CHARACTERS]


def _post(url: str, body: bytes) -> "tuple[int, bytes]":
    """One request of HTTP/1.0; http.client would add 50 ms to every submission."""
    import socket

    scheme, _, rest = url.partition("://")
    address, _, path = rest.partition("/")
    host, _, port = address.partition(":") if address.count(":") < 2 else (address.strip("[]"), "", "")
    connection = socket.create_connection((host, int(port or (443 if scheme == "https" else 80))), LIMIT_S)
    if scheme == "https":
        import ssl

        connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    head = f"POST /{path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body)
    answer = b""
    while len(answer) <= ANSWER_BYTES:
        part = connection.recv(ANSWER_BYTES)
        if not part:
            top, _, content = answer.partition(b"\r\n\r\n")
            return int(top.split(None, 2)[1]), content
        answer += part
    raise NoAdviceError(f"an answer of more than {ANSWER_BYTES} bytes")


def advice(arguments: "list[str]", environment: "dict[str, str]") -> "str | None":
    """The line to print, within the limit whatever happens.

    The question is asked in a thread that is left behind: a name server or a file system that hangs cannot be
    interrupted from within, but the thread ends when the process becomes sbatch.
    """
    lines = []  # type: list[str | None]
    done = _thread.allocate_lock()
    done.acquire()

    def work() -> None:
        try:
            line = ask(environment.get("CROWDRUN_URL") or DEFAULT_URL, submission(arguments, environment))
            lines.append("crowdrun: " + line if line else None)
        except Exception as error:
            lines.append(f"crowdrun: no advice: {error or type(error).__name__}; submitted as written")
        finally:
            done.release()

    _thread.start_new_thread(work, ())
    done.acquire(True, LIMIT_S)
    late = f"crowdrun: no advice: no answer within {LIMIT_S * 1000:.0f} ms; submitted as written"
    return lines[0] if lines else late


def real_sbatch(environment: "dict[str, str]") -> "str | None":
    """The first sbatch on the PATH that is not this program under another name."""
    own = {os.path.realpath(__file__), os.path.realpath(sys.argv[0])}
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, "sbatch")
        if os.access(path, os.X_OK) and os.path.isfile(path) and os.path.realpath(path) not in own:
            return path
    return None


def _say(line: "str | None") -> None:
    try:
        if line:
            sys.stderr.write(line.replace("\n", " ") + "\n")
            sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        # Standard error is closed or full: the job matters more than the line.
        return


def main() -> None:
    """Say what is known of the job, then become sbatch."""
    arguments, environment = sys.argv[1:], dict(os.environ)
    sbatch = real_sbatch(environment)
    if sbatch is None:
        _say("crowdrun: there is no sbatch on the PATH; nothing was submitted")
        sys.exit(127)
    if {"-h", "--help", "--usage"}.intersection(arguments[:1]):
        _say(str(__doc__).partition("\n")[0] + " It changes nothing; see `pydoc crowdrun.api.sbatch`. Help of sbatch:")
    elif not {"-V", "--version"}.intersection(arguments[:1]):
        try:
            _say(advice(arguments, environment))
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:
            _say(f"crowdrun: no advice: {error}; submitted as written")
    os.execv(sbatch, ["sbatch", *arguments])


if __name__ == "__main__":
    main()
