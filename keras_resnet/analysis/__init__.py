"""Measures any functional Keras model, with its weights, on your images.

| module | measures |
|---|---|
| `complexity` | MACs, parameters, activations; complexity.json has those of every network in `SPECS` |
| `layer_responses` | how strongly layers respond (He et al. 2015, figure 7) |
| `norms` | activations and gradients of every layer |
| `batch_norm_statistics` | means and variances after batch normalization; percentiles of preactivations |
| `highway_gates` | the gates of a highway network |
| `grad_cam` | image regions that raise a class's logit |
| `intermediate_outputs` | outputs inside a model, which the other modules share |

`keras_resnet.reproduce` applies these to the paper's networks.
"""
