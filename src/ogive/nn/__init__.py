"""PyTorch building blocks the spaces share."""
