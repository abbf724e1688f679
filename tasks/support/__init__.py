"""What the steps share: the workspace, retry policies, artifacts, this run."""
