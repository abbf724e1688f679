"""The rollout itself, without Prefect: its record, its beginning, its ends."""
