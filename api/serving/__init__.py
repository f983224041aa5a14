"""What stands behind the addresses of the service: who may ask, limits, errors, the model that answers, retraining."""
