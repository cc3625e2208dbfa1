"""Gate.io's spot market."""
