"""Approvals: who may decide, how that is proven, what a decision is bound to, when it is frozen; without Prefect."""
