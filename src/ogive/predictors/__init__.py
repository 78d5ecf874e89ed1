"""Learned stand-ins for dear metrics: fit on a few architectures, predict the rest with uncertainty."""

from ogive.predictors.base import PREDICTORS, Predictor, get_predictor

__all__ = ["PREDICTORS", "Predictor", "get_predictor"]
