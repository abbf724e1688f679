"""What is said of a rollout when it has ended."""
