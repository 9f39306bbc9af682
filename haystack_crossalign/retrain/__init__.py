"""Retraining on a schedule: configuration, data, audit, gate and versions of the model."""
