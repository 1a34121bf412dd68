"""Provides images with labels or boxes as tf.data.

| module | provides |
|---|---|
| `sources` | `load_image_set`, the table of sources |
| `image_set`, `held_out` | sets of images and their splits; splits that are parts of the training images |
| `embedded`, `scenes`, `folder`, `tfds`, `tfrecord` | sources with labels; `folder_tree` finds splits and classes |
| `csv_set`, `csv_rows`, `csv_columns`, `csv_labels` | a CSV file with labels: images, rows, columns, labels |
| `scenes`, `coco`, `voc`, `tfds_objects`, `tfrecord` | sources with boxes; `objects` makes splits of listed ones |
| `imagenet_det` | ImageNet's detection data; `imagenet_det_classes` has its classes |
| `listed_images`, `split_lists`, `voc_lists` | sets of images that lists name; the lists of a split; those of VOC |
| `voc_annotations` | the objects of an annotation in VOC's format |
| `records`, `record_objects` | records at random positions, and their objects |
| `image_task` | what tasks over images share |
| `several_labels` | targets of several labels for any set |
| `sampling` | the order of training images, shares of classes |
| `pipeline` | batches for a strategy, the image behind an error |
| `tf_data_service` | batches that other machines prepare |
| `decode`, `orientation`, `image_header` | pixels inside a TensorFlow graph, upright, and the checks before decoding |
| `header` | format and size of an image, without TensorFlow |
| `transforms`, `augmentation`, `randaugment` | test and training preprocessing, mixup and CutMix |
| `verify`, `verify_targets`, `verify_scan` | checks of a whole set: images, labels or boxes, splits |
| `statistics`, `near_duplicates` | mean and standard deviation of channels; images that look alike |
| `threads` | functions mapped over threads |
| `prepare`, `photographs` | conversion to TFRecord files, two real photographs |
"""
