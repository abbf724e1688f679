"""The flows, one file for each: what Prefect deploys and a run executes."""

import atexit
import gc

# A run's process imports much and lives shortly: by default, looking for garbage takes as long as the imports.
gc.set_threshold(50_000, 20, 50)
atexit.register(gc.freeze)
