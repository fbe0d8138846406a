"""2.9: A short storm over a whole installation. `make chaos` makes long ones."""

from pathlib import Path

import pytest

from tests.chaos.story import Story

SEED, SECONDS = 7, 60


@pytest.mark.chaos
def test_after_a_storm_nothing_is_stuck_lost_doubled_or_left(open_directory: Path, migrated: Path) -> None:
    folder = open_directory / "storm"
    folder.mkdir()
    story = Story(folder, SEED, small=True, dump=migrated)
    story.tell(SECONDS)
    assert not story.violations, story.report()
