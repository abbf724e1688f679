"""Settings of the judge's unit tests."""

from hypothesis import settings

# The same examples on every run, and no deadline: on a busy machine a slow example is not a finding.
settings.register_profile("judge", deadline=None, derandomize=True)
settings.load_profile("judge")
