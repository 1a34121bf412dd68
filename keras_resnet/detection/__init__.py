"""Provides object detection: Faster R-CNN with a feature pyramid on any network of the package.

| module | provides |
|---|---|
| `detector` | the model: trunk, feature pyramid, region proposal network and box head |
| `parts`, `heads` | its parts as Keras models |
| `proposals`, `roi_features`, `detections` | what is between the parts: proposals, features of RoIs, suppression |
| `improvements`, `voting` | refinement, several scales and ensembles in testing |
| `alternation` | the steps of alternating training |
| `losses` | sampled anchors and proposals, and their losses for each image |
| `transforms` | letterbox, scale jitter and flips of images and their boxes |
| `copy_paste` | objects of another image, pasted through their masks |
| `metrics` | the table of metrics |
| `coco_metrics` | average precision as pycocotools computes it |
| `task` | the `Task` that training and evaluation use |

Boxes are pixels (y1, x1, y2, x2), as in `keras_resnet.boxes`. Classes are 0 to K - 1; the box head has one more score,
for the background, which comes first.
"""
