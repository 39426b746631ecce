"""Settings all tests share."""
from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Timings never decide a test: a slow machine is not a bug. CI draws the same examples every time; a developer's runs
# draw new ones and keep what failed in .hypothesis.
_relaxed = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("default", deadline=None, suppress_health_check=_relaxed)
settings.register_profile("ci", deadline=None, suppress_health_check=_relaxed, derandomize=True, database=None)
settings.register_profile("long", deadline=None, suppress_health_check=_relaxed, max_examples=2000,
                          stateful_step_count=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
