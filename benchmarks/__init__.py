"""Accuracy and cost of sensor_ad beside others, side by side on one machine (see README.md)."""
