"""Approvals: who may decide, how that is proven, what a decision is bound to, and the record of it; without Prefect."""
