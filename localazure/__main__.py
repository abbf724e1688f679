"""`python -m localazure`."""

import gc

gc.disable()  # what is imported is kept: looking for garbage in it would take a fifth of the start
from localazure.cli import main  # noqa: E402

gc.freeze()
gc.enable()
main()
