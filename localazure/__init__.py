"""Azure Machine Learning's online endpoints on this machine: a stand-in that Azure's own clients cannot tell apart."""
