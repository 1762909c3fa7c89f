"""The example project with a channel layer, which the test names in the environment."""

from __future__ import annotations

import json
import os

from example_project.settings import *  # noqa: F403  # that is what the file is for

CHANNEL_LAYERS = {"wakeups": json.loads(os.environ["TEST_CHANNEL_LAYER"])}
