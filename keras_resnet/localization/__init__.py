"""Provides localization (He et al. 2015, appendix C): the class of an image, and the box of its object.

| module | provides |
|---|---|
| `localizer` | the model: a classifier, and a region proposal network for each class on one of its feature maps |
| `rcnn` | the second stage, R-CNN on the proposals of a class |
| `layers` | the layer whose kernels belong to classes |
| `losses` | the class, and the sampled anchors of the image's own class |
| `transforms` | crops of images together with their boxes |
| `collector` | answers for single images, and the errors of ILSVRC |
| `metrics` | the table of metrics |
| `dense`, `evaluation` | the fully convolutional test at several scales; what `keras-resnet evaluate` does |
| `predictor`, `signatures` | the best (class, box) pairs for `predict`; the functions of an exported localizer |
| `weights` | weights of classifiers and of localizers |
| `task` | the `Task` that training and evaluation use |
"""
