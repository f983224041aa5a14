"""Imports every module of the installed crowdrun and says how many there are; a missing sub-package fails here."""

import importlib
import pkgutil
import sys
from importlib.metadata import files, version

import crowdrun

modules = [module.name for module in pkgutil.walk_packages(crowdrun.__path__, "crowdrun.")]
for name in modules:
    importlib.import_module(name)
inside = sorted(str(file) for file in files("crowdrun") or [] if str(file).startswith("crowdrun/"))
outside = [path for path in crowdrun.__path__ if "site-packages" not in path]
if outside:
    sys.exit(f"crowdrun was imported from {outside}, not from the installed wheel")
sys.stdout.write(f"crowdrun {version('crowdrun')}: {len(modules)} modules imported, {len(inside)} files installed\n")
