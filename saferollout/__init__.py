"""How a model is rolled out, judged and rolled back on Azure Machine Learning; it works without Prefect.

Nothing here is a public interface yet: the flows and the command line are its only users, and names may change.
"""
