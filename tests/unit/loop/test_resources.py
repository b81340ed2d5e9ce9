"""Where the parts of a workspace lie, and what a child may use."""

from tests import projects
from tests.loops import Stage


def test_limits_follow_the_settings(stage: Stage) -> None:
    """A changed file counts at once, for the next child."""
    assert stage.resources.limits.timeout_seconds == 3600
    stage.configure(projects.SETTINGS + "\n[limits]\ntimeout_seconds = 2.5\nmemory_mb = 300\nattempts = 1\n")
    limits = stage.resources.limits
    assert (limits.timeout_seconds, limits.memory_mb, limits.attempts) == (2.5, 300, 1)


def test_folders_lie_in_the_state_folder(stage: Stage) -> None:
    """Nothing is written beside the user's own files."""
    for folder in (stage.resources.serving, stage.resources.logs):
        assert folder.parent == stage.resources.folder == stage.resources.project / ".ratchet"
