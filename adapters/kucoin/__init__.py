"""KuCoin's spot market."""
