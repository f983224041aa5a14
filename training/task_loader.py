"""From the name of a task to the module that defines it, checked against the protocol."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import FUNCTIONS, TrainingTask
from crowdrun.training.models.table import BUILT_IN

#: The name under which a task file is loaded: none that a person's own module would have.
_FILE_MODULE = "crowdrun_task"


def load_task(target: str, *, work_dir: Path) -> TrainingTask:
    """The task in a Python file (an absolute path) or a module.

    The file's folder, or `work_dir` for a module, is where its own modules are found; ours are all in `crowdrun.`, so
    that they may be named data, training, api or anything else.

    Raises:
        ConfigError: there is no such file or module, or it lacks functions of the protocol.
    """
    module = _load_file(Path(target)) if target.endswith(".py") else _import(target, work_dir)
    missing = [name for name in FUNCTIONS if not callable(getattr(module, name, None))]
    if missing:
        raise ConfigError(
            f"task {target} does not define {', '.join(missing)}; "
            f"a task defines the functions {', '.join(FUNCTIONS)} (see crowdrun.data.task)"
        )
    return cast(TrainingTask, module)


def _load_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_FILE_MODULE, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"there is no task file {file}")
    sys.path.insert(0, str(file.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[_FILE_MODULE] = module
    spec.loader.exec_module(module)
    return module


def _import(name: str, work_dir: Path) -> ModuleType:
    sys.path.append(str(work_dir))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # One that the task itself wants is the task's own error.
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        raise ConfigError(
            f"there is no task module {name!r}; for a file, write its path ending in .py; "
            f"built in are {', '.join(BUILT_IN)}"
        ) from error
