"""Features from any hidden layer of any network: batches come in, what layers put out goes out.

`layers_of` tells what there is to take, `tap` reads it in one forward pass, `features` leads data
of any length through the network.
"""

from sensor_ad.features.listing import Layer, layer_table, layers_of
from sensor_ad.features.streams import features
from sensor_ad.features.taps import LayerOutputs, tap

__all__ = ["Layer", "LayerOutputs", "features", "layer_table", "layers_of", "tap"]
