"""sensor_ad: finds faults in industrial machines from their sensor data."""

__version__ = "0.1.0"
