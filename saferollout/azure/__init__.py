"""Azure ML as the rollout uses it: sign-in, its JSON and its SDK, and changes as reconciliations."""

import os

# Without bars `azure-ai-ml` drops the exception of a file's upload and waits for that file for ever; with TQDM_DISABLE,
# which must be there before the bars' library is, it draws none and raises.
os.environ.setdefault("TQDM_DISABLE", "1")
