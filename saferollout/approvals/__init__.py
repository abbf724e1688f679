"""Approvals: who may decide, how that is proven, to what it is bound, its record, and when it is frozen; no Prefect."""
