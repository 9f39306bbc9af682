"""Compute the transformer of a model with OpenVINO, on a CPU; the rest of the model stays in torch."""
