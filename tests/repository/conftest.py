"""Where the README's commands are run."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything of the checkout at its place, where commands may leave files."""
    folder = tmp_path_factory.mktemp("readme")
    for entry in ROOT.iterdir():
        if entry.name not in {".git", "build", "dist"}:
            (folder / entry.name).symlink_to(entry)
    return folder
