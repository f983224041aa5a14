"""The parts of the dashboard, each with its router."""

from crowdrun.api.dashboard import access, assets, docs, jobs, memory, model, overview, try_it

PAGES = (access, assets, overview, try_it, memory, model, jobs, docs)
