"""Commands of the real azure-cli in one process: each line of stdin is one, a JSON list, and each of stdout its end.

It runs in azure-cli's own environment. `[code, what it printed]` is what a line of stdout has.
"""

import contextlib
import io
import json
import sys

from azure.cli.core import get_default_cli

for line in sys.stdin:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            code = get_default_cli().invoke(json.loads(line), out_file=printed)
    except SystemExit as end:
        code = end.code
    print(json.dumps([code, printed.getvalue()]), flush=True)
