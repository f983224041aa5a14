"""Every setting of crowdrun: option over environment over `crowdrun.toml` over default, and where each value came from.

The file is `$CROWDRUN_CONFIG`, else `crowdrun.toml` in the home folder, else `/etc/crowdrun/crowdrun.toml`.

>>> environment = {"CROWDRUN_HOME": "/tmp/crowd", "CROWDRUN_RISK": "0.2"}
>>> settings = load_settings(options={"risk": "0.1"}, environment=environment)
>>> settings.risk, settings.origins["risk"], settings.origins["home"], settings.origins["url"]
(0.1, 'option --risk', 'environment CROWDRUN_HOME', 'default')
>>> settings.models_dir
PosixPath('/tmp/crowd/models')
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from crowdrun.data.errors import ConfigError
from crowdrun.data.roles import Role

SITE_FILE = Path("/etc/crowdrun/crowdrun.toml")


def _path(value: Any) -> Path:
    return Path(str(value)).expanduser().absolute()


def _path_or_none(value: Any) -> Path | None:
    return None if str(value) == "none" else _path(value)


def _risk(value: Any) -> float:
    risk = float(value)
    if not 0.001 <= risk <= 0.5:
        raise ValueError("must be a number from 0.001 to 0.5")
    return risk


def _interval_s(value: Any) -> float:
    interval_s = float(value)
    if interval_s and not 1 <= interval_s < float("inf"):
        raise ValueError("must be a number of seconds of 1 or more, or 0 for never")
    return interval_s


def _role(value: Any) -> Role | None:
    allowed = ["none", *Role]
    if str(value) not in allowed:
        raise ValueError(f"must be one of {', '.join(allowed)}")
    return None if str(value) == "none" else Role(str(value))


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError("must be a number above 0")
    return number


def _switch(value: Any) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in known:
        raise ValueError("must be true or false")
    return known[str(value).lower()]


def _url(value: Any) -> str:
    if urlsplit(str(value)).scheme not in {"http", "https", "unix"}:
        raise ValueError("must be an http://, https:// or unix://PATH address")
    return str(value).rstrip("/")


def _store_url(value: Any) -> str:
    if urlsplit(str(value)).scheme.partition("+")[0] not in {"sqlite", "postgresql"}:
        raise ValueError("must be a sqlite:///FILE or postgresql://HOST/DATABASE address")
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting; its environment variable is CROWDRUN_ and the name in capitals."""

    name: str
    parse: Callable[[Any], Any]
    doc: str

    @property
    def variable(self) -> str:
        return f"CROWDRUN_{self.name.upper()}"

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off; on the command line, its name alone turns it on."""
        return self.parse is _switch


SETTINGS: tuple[Setting, ...] = (
    Setting(name="home", parse=_path, doc="the folder of all state: store, models, runs, spool"),
    Setting(name="store", parse=_store_url, doc="the job history: sqlite:///FILE or postgresql://HOST/DATABASE"),
    Setting(name="url", parse=_url, doc="the address of the service, for every client"),
    Setting(name="risk", parse=_risk, doc="the largest accepted probability that a job needs more than it is given"),
    Setting(name="retrain_every_s", parse=_interval_s, doc="seconds between the service's own retrainings; 0: never"),
    Setting(
        name="trust_local",
        parse=_role,
        doc="the role of who asks without a token over the loopback interface or the Unix socket: "
        "none, submit, operator, admin",
    ),
    Setting(name="rate_per_s", parse=_positive, doc="requests a second that one token or address may send"),
    Setting(name="time_limit_s", parse=_positive, doc="seconds that the service takes for one request at most"),
    Setting(
        name="pseudonymise",
        parse=_switch,
        doc="true: names are stored as keyed hashes; a home that has begun goes on",
    ),
    Setting(
        name="correction",
        parse=_path_or_none,
        doc="what was learned of the cards here, for each forecast of GPU memory: a file of crowdrun bench gpu-memory, "
        "or none",
    ),
    Setting(name="traces", parse=_path, doc="the folder of traces for benches"),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values in force."""

    home: Path
    store: str
    url: str
    risk: float
    retrain_every_s: float
    trust_local: Role | None
    rate_per_s: float
    time_limit_s: float
    pseudonymise: bool
    correction: Path | None
    traces: Path | None
    #: Name -> where the value came from.
    origins: Mapping[str, str]

    @property
    def models_dir(self) -> Path:
        return self.home / "models"

    @property
    def runs_dir(self) -> Path:
        return self.home / "runs"

    @property
    def spool_dir(self) -> Path:
        return self.home / "spool"


def load_settings(options: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in force; `options` are those given on the command line (None values count as not given).

    Raises:
        ConfigError: a value that is not allowed, or a file that cannot be read; says which, and what is allowed.
    """
    options = {name: value for name, value in (options or {}).items() if value is not None}
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}

    def resolve(setting: Setting, table: Mapping[str, Any], file: Path | None, default: Any) -> None:
        if setting.name in options:
            value, origin = options[setting.name], f"option --{setting.name.replace('_', '-')}"
        elif environment.get(setting.variable):
            value, origin = environment[setting.variable], f"environment {setting.variable}"
        elif setting.name in table:
            value, origin = table[setting.name], f"file {file}"
        else:
            value, origin = default, "default"
        try:
            values[setting.name] = None if value is None else setting.parse(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{setting.name} is {value!r} (from {origin}); it {error}") from error
        origins[setting.name] = origin

    home, *others = SETTINGS
    default_home = platformdirs.user_data_path("crowdrun")
    # The home folder may come from the file, and the file may lie in the home folder: look there by what is known.
    known_home = _path(options.get("home") or environment.get(home.variable) or default_home)
    file = _settings_file(environment, known_home)
    table = _read_file(file) if file else {}
    resolve(home, table, file, default_home)
    defaults = {
        "store": f"sqlite:///{values['home'] / 'store.sqlite'}",
        "url": "http://127.0.0.1:8642",
        "risk": 0.05,
        "retrain_every_s": 0.0,
        "trust_local": "none",
        "rate_per_s": 200.0,
        "time_limit_s": 30.0,
        "pseudonymise": False,
        "correction": None,
        "traces": None,
    }
    for setting in others:
        resolve(setting, table, file, defaults[setting.name])
    return Settings(**values, origins=origins)


def _settings_file(environment: Mapping[str, str], home: Path) -> Path | None:
    named = environment.get("CROWDRUN_CONFIG")
    if named:
        return _path(named)
    return next((file for file in (home / "crowdrun.toml", SITE_FILE) if file.exists()), None)


def _read_file(file: Path) -> Mapping[str, Any]:
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the settings file {file}: {error}") from error
    allowed = {f.name for f in fields(Settings)} - {"origins"}
    unknown = sorted(table.keys() - allowed)
    if unknown:
        raise ConfigError(f"{file} sets {', '.join(unknown)}; allowed are {', '.join(sorted(allowed))}")
    return table
