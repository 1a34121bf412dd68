"""Provides the arithmetic of boxes that detectors share, in TensorFlow.

| module | provides |
|---|---|
| `anchors` | the anchors of a feature map |
| `coding` | boxes to regression targets and back, clipping to an image |
| `iou` | overlaps of all pairs of boxes |
| `matching` | labels of anchors and proposals: positive, negative or ignored |
| `sampling` | positives and negatives drawn by a seed |
| `nms` | non-maximum suppression, by class or over all boxes |
| `roi_align` | RoIAlign on one or several feature maps, and the feature map of each box |

Boxes are pixels (y1, x1, y2, x2) with height = y2 - y1; objects are ground truth boxes. Every function computes in
float32, whatever it is given: bfloat16 has steps of 4 pixels at 1000, and float16 areas end at 65504. Results have a
fixed size, as XLA needs it; a mask or a count tells which rows are padding.
"""
