"""Forecasts of a task's or a description's memory, as people and programs meet them."""
