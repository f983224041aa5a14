"""Slurm's command-line filter for a whole site: put into place and taken away so that no submission ever fails of it.

A `cli_filter.lua` that does not parse, that cannot be read, or that is missing where slurm.conf names the plugin, stops
every submission of the cluster. So each is written under another name, checked with Lua's own compiler, and renamed.
"""

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

from crowdrun.api import sbatch
from crowdrun.data.durable import sync, unfinished_name
from crowdrun.data.errors import ConfigError, OutputError
from crowdrun.training.launch.slurm_client import call

FILTER_FILE = "cli_filter.lua"
#: csbatch beside the filter, which asks it.
PROGRAM_FILE = "crowdrun-csbatch"
#: What another filter is kept as.
KEPT_FILE = "cli_filter.lua.before-crowdrun"
#: How a file of ours begins.
OURS = "-- crowdrun: "
#: Slurm 22.05 to 25.05 are built against Lua 5.1 to 5.4; what 5.1 takes, the later ones take of these files.
COMPILERS = ("luac5.1", "luac-5.1", "luac")


def slurm_folder() -> Path:
    """The folder of slurm.conf, as the controller names it.

    Raises:
        ConfigError: it gives no answer.
    """
    file = _configured("SLURM_CONF")
    if not file:
        raise ConfigError(
            "cannot tell where slurm.conf is (scontrol show config gives no answer); name it with --folder"
        )
    return Path(file).parent


def install(folder: Path, *, replace: bool) -> list[str]:
    """Put the filter and csbatch into the folder; what there is to say of it.

    Raises:
        ConfigError: there is another filter and `replace` is not given, or no Lua compiler to check with.
        OutputError: a file cannot be written.
    """
    target, kept = folder / FILTER_FILE, folder / KEPT_FILE
    other = target.exists() and not is_ours(target)
    if other and not replace:
        raise ConfigError(f"{target} is another filter; --replace keeps it as {KEPT_FILE} while this one is used")
    checked = _checked(folder, _text(FILTER_FILE).replace("@CSBATCH@", _lua_text(folder / PROGRAM_FILE)))
    try:
        _place(folder / PROGRAM_FILE, Path(sbatch.__file__).read_bytes())
        if other:
            shutil.copy2(target, kept)
        checked.replace(target)
        sync(folder)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}") from error
    finally:
        checked.unlink(missing_ok=True)
    said = [f"{target} is in place", *([f"the filter that was there is kept as {kept}"] if other else [])]
    if not _uses_lua():
        said.append("slurm.conf does not have CliFilterPlugins=lua yet: nothing happens until it has")
    return said


def remove(folder: Path) -> list[str]:
    """Take the filter away: put back what was there before it, or one that does nothing; what there is to say of it.

    Raises:
        ConfigError: the filter is not ours, or what was kept does not parse.
        OutputError: a file cannot be written.
    """
    target, kept = folder / FILTER_FILE, folder / KEPT_FILE
    if not target.exists() or not is_ours(target):
        raise ConfigError(f"there is no filter of crowdrun in {folder}")
    text = kept.read_text("utf-8") if kept.exists() else _text("nothing.lua")
    checked = _checked(folder, text)
    try:
        checked.replace(target)
        sync(folder)
        for left in (kept, folder / PROGRAM_FILE, *(folder / "__pycache__").glob(f"{PROGRAM_FILE}*")):
            left.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}") from error
    finally:
        checked.unlink(missing_ok=True)
    if text.startswith(OURS):
        return [f"{target} does nothing any more; delete it once slurm.conf has no CliFilterPlugins=lua"]
    return [f"{target} is what it was before"]


def is_ours(file: Path) -> bool:
    """Whether a filter was written by us."""
    return file.read_text("utf-8", errors="replace").startswith(OURS)


def _checked(folder: Path, text: str) -> Path:
    """The text in a new file of the folder that is whole on the disk and parses."""
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        raise ConfigError(
            f"none of {', '.join(COMPILERS)} is on the PATH: install Lua 5.1; a filter that is not checked could stop "
            "every submission"
        )
    file = unfinished_name(folder)
    try:
        file.write_text(text, "utf-8")
        file.chmod(0o644)
        sync(file)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise OutputError(f"cannot write to {folder}: {error.strerror}") from error
    answer = subprocess.run([compiler, "-p", str(file)], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        file.unlink()
        raise ConfigError(f"the filter does not parse, and nothing was changed: {answer.stderr.strip()}")
    return file


def _text(name: str) -> str:
    return (files("crowdrun.api.slurm") / name).read_text("utf-8")


def _lua_text(path: Path) -> str:
    if any(character in '"\\' or not character.isprintable() for character in str(path)):
        raise ConfigError(f"the folder {str(path.parent)!r} has a character that a Lua text cannot hold as it is")
    return str(path)


def _place(file: Path, program: bytes) -> None:
    temporary = unfinished_name(file.parent)
    try:
        temporary.write_bytes(program)
        temporary.chmod(0o755)
        sync(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    # Its compiled form can be written by us, but not by the users; without an sbatch on the PATH it does nothing else.
    subprocess.run([str(file), "--version"], env={"PATH": "/nonexistent"}, capture_output=True, timeout=60, check=False)


def _uses_lua() -> bool:
    return "lua" in (_configured("CliFilterPlugins") or "")


def _configured(name: str) -> str | None:
    """A line of `scontrol show config`; None where it gives no answer."""
    try:
        answer = call(["scontrol", "show", "config"], timeout_s=10.0)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (line.partition("=") for line in answer.stdout.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), None)
