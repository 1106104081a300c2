"""What all tests share: properties are tried on the same examples each time, without a deadline."""

from hypothesis import settings

settings.register_profile("sensor_ad", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("sensor_ad")
