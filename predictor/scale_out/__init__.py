"""Fits on more machines than this one."""
