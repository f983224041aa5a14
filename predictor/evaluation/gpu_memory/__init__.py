"""Forecasts of GPU memory, and what is learned of measurements, judged on other people's cards."""
