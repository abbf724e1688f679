"""Azure ML as the rollout uses it: sign-in, its JSON and its SDK, and changes as reconciliations."""
