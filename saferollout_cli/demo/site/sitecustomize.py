"""What Python runs first in each of the demo's processes, Prefect's own among them: their collector may be lazy.

They import much, and many live shortly: by default, looking for garbage takes as long as the imports.
"""

import atexit
import gc

gc.set_threshold(50_000, 20, 50)
atexit.register(gc.freeze)
